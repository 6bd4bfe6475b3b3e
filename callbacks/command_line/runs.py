"""`fit`, `validate` and `predict`: LightningCLI with this project's defaults."""

import json
import logging
import shlex
import time
import warnings
from argparse import Action, ArgumentError
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import DefaultHelpFormatter, set_parsing_settings
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.model_helpers import is_overridden

from vidcorr import signals
from vidcorr.backbones.checkpoints import saved_model
from vidcorr.backbones.trust import outside_code, reconcile
from vidcorr.benchmarks.base import Benchmark
from vidcorr.config_files import CONFIGS
from vidcorr.errors import OUR_PACKAGES, UsageError
from vidcorr.functional.device import bfloat16_cost, fastest_precision

from ..benchmark import BenchmarkCallback
from ..checkpoint import LastCheckpoint
from ..loggers import run_folder
from ..monitors import RunProgress, Throughput
from ..run_folder import closing_lines, last_checkpoints, numbered_loggers
from ..safeguards import Safeguards
from .arguments import HOMES, Given, class_named, defaults_of, explain, merge, read_arguments, read_config, update

MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
DEFAULT_ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
SECTION_TITLES = {"trainer": "Lightning's Trainer", "model": "Model", "data": "Training data, or a video to predict on"}
"""Section → its title in the help."""
EXAMPLES_OF_HELP = {"model": "VFSSimSiam", "data": "VideoDataModule", "trainer.callbacks": "DavisBenchmark"}
"""Section → class, for the message about a help without a class."""
COMMANDS = ("fit", "validate", "predict")
USAGE = "vidcorr {} [--config FILE ...] [--model ...] [--data ...] [--trainer.OPTION ...] [--ckpt_path FILE]"
EPILOG = """Also: --debug shows the traceback of an error; --allow NAME lets a checkpoint name code outside vidcorr
(package.module.Class or package.module:callable). --seed_everything N also seeds data and model, unless they set a
seed."""
PREDICT = str(CONFIGS / "predict.yaml")
"""Config that `predict` reads by default."""
WARNINGS = (
    "isinstance.treespec, LeafSpec",
    "does not have many workers",
    "is smaller than the logging interval",  # steps count on over epochs
    "args parameter is intended to run from within Python",
    "module.s. in eval mode at the start of training",
    "callbacks used to create the checkpoint need to be provided",
)
"""Warnings of Lightning without use on the command line."""
CHATTY = (
    "pytorch_lightning.utilities.rank_zero",
    "pytorch_lightning.trainer.connectors.checkpoint_connector",
    "lightning_fabric.utilities.rank_zero",
    "lightning_fabric.utilities.seed",
)
"""Loggers of Lightning for absent devices, other products and the seed."""


class ClassHelp(DefaultHelpFormatter):
    """Help that lists only public classes, without the base classes of Lightning and of this project."""

    def _expand_help(self, action: Action) -> str:
        text, label, listed = super()._expand_help(action).partition("known subclasses: ")
        public = [name for name in listed.removesuffix(")").split(", ") if _is_public(name.rpartition(".")[0])]
        return f"{text}{label}{', '.join(public)})" if label else text


def _is_public(module: str) -> bool:
    """Return whether the help lists classes of a module: of `HOMES`, or of other packages below their root."""
    return module in HOMES or ("." in module and module.partition(".")[0] not in OUR_PACKAGES)


class Trainer(pl.Trainer):
    """Lightning's Trainer, with precision "auto".

    Args:
        accelerator: "cpu", "gpu", "auto", or another accelerator of Lightning.
        precision: a precision of Lightning, or "auto": bfloat16 if the processor computes it faster, else float32 on a
            CPU and float16 on a GPU. The plan before training prints the choice and its reason.
        default_root_dir: folder of the runs, with logs, checkpoints and results.
        enable_model_summary: print Lightning's table of the layers before training.
        **kwargs: other arguments of Lightning's Trainer, except the limits on test and prediction batches.
    """

    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        precision: str | int | None = None,
        default_root_dir: str | Path | None = DEFAULT_ROOT,
        enable_model_summary: bool | None = False,
        **kwargs: Any,
    ) -> None:
        cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
        device = "cpu" if cpu else "cuda" if accelerator in ("auto", "gpu", "cuda") else str(accelerator)
        if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.mps.is_available()):
            remedy = "leave it and trainer/gpus.yaml out"
            raise ValueError(f"trainer.accelerator {accelerator}: torch finds no GPU on this machine; {remedy}")
        self.precision_reason = ""
        if precision == "auto":
            chosen, reason = fastest_precision(device)
            precision, self.precision_reason = MIXED[chosen], f" (auto: {reason})"
        elif str(precision).startswith("bf16") and device == "cpu" and fastest_precision("cpu")[0] == "float32":
            rank_zero_info(
                f"trainer.precision {precision}: on this CPU a convolution takes {bfloat16_cost():.1f} times as long "
                "as in float32; auto takes the faster one"
            )
        try:
            super().__init__(
                accelerator=accelerator,
                precision=precision,  # type: ignore[arg-type]  # Lightning checks it
                default_root_dir=default_root_dir,
                enable_model_summary=enable_model_summary,
                limit_test_batches=None,
                limit_predict_batches=None,
                **kwargs,
            )
        except (TypeError, ValueError) as error:  # Lightning names neither the flag nor the value
            if "`devices`" not in str(error) and "invalid literal for int" not in str(error):
                raise
            expected = "auto or a number of processes" if cpu else "auto, -1, a number of GPUs or their list, as 0,1"
            raise ValueError(f"trainer.devices: expected {expected}, got {kwargs['devices']!r}") from error


class SaveConfig(SaveConfigCallback):
    """Write `config.yaml` into the folder of the run, with any logger. Without a logger, only a fit has the folder."""

    def setup(self, trainer: pl.Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, once; all ranks call it."""
        if self.already_saved or (stage != "fit" and not trainer.loggers):
            return
        self.already_saved = True
        folder = run_folder(trainer)  # on every rank: the ranks ask the first
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            self.parser.save(
                self.config, folder / self.config_filename, skip_unset=False, overwrite=True, multifile=False
            )


class VidcorrCLI(LightningCLI):
    """LightningCLI with our defaults; flags override files, and files override the model in `--ckpt_path`.

    Args:
        args: command and arguments; the default command is `fit`.
        about: description of the command, for its help.
        completes: print a shell's completion of all commands, and end.
    """

    def __init__(self, args: Sequence[str], about: str = "", completes: bool = False) -> None:
        given, rest = read_arguments(args)
        if any(word in ("-h", "--help") or ".help" in word for word in rest):
            for package in map(import_module, HOMES[:4]):
                for name in package.__all__:
                    getattr(package, name)  # imports the class, so that the help lists it
        for word in rest:
            if word.endswith(".help") and (example := EXAMPLES_OF_HELP.get(word[2:-5])):
                raise UsageError(f"{word}: name the class, as in {word} {example}; --help lists the classes")
        self.command = rest.pop(0) if rest[:1] and rest[0] in COMMANDS else "fit"
        if self.command == "predict":
            given.insert(0, read_config(PREDICT))
        config = merge(given)
        self._asks_for_last = config.get("ckpt_path") == "last"
        if self._asks_for_last:
            config = with_last_checkpoint(config, given, self.command)
        config = with_saved_model(config)
        usage = {"usage": USAGE.format(self.command), "epilog": EPILOG, "description": about}
        try:
            super().__init__(
                LightningModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                trainer_class=Trainer,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                trainer_defaults={"callbacks": Safeguards()},
                save_config_callback=SaveConfig,
                parser_kwargs={"prog": "vidcorr", "exit_on_error": False, "formatter_class": ClassHelp} | usage,
                args=rest if completes else [f"--config={json.dumps(with_callbacks(config), default=str)}", *rest],
                run=completes,
            )
        except ArgumentError as error:
            options = [f"--{name}" for name in self.parser.get_defaults(skip_validation=True).keys()]  # noqa: SIM118
            raise UsageError(explain(str(error), config, options, given)) from error

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands of the completion, with the arguments of the Trainer's methods that it leaves out.

        `test` is left out, since benchmarks run in `validate`; `--ckpt_path` is added by `add_arguments_to_parser`.
        """
        left_out = {"verbose", "weights_only", "return_predictions", "ckpt_path"}
        return {name: skipped | left_out for name, skipped in LightningCLI.subcommands().items() if name in COMMANDS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--ckpt_path`, and name the sections of the help."""
        for section, title in SECTION_TITLES.items():
            parser.groups[section].title = title  # type: ignore[index]  # LightningCLI has made them
        about = "checkpoint to resume, validate or predict from; last: the newest last.ckpt in default_root_dir"
        parser.add_argument("--ckpt_path", type=str | None, default=None, help=about)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add default callbacks unless the configuration names a callback of the same kind.

        Raises:
            ValueError: for a `validate` without data or benchmark.
        """
        trainer = self.config_init["trainer"]
        named = list(trainer.callbacks or [])
        fits = self.command == "fit"
        has_batches = fits or self.datamodule is not None  # benchmarks show their progress themselves
        benchmarks = [callback for callback in named if isinstance(callback, BenchmarkCallback)]
        if self.command == "validate" and not has_batches and not benchmarks:
            raise ValueError("nothing to measure: add a benchmark, for example --config benchmarks/davis.yaml")
        wanted: dict[type[Callback], tuple[type[Callback], bool]] = {
            LearningRateMonitor: (LearningRateMonitor, fits and trainer.logger is not False),
            LastCheckpoint: (LastCheckpoint, fits and trainer.enable_checkpointing is not False),
            Throughput: (Throughput, fits),
            ProgressBar: (RunProgress, trainer.enable_progress_bar is not False and has_batches),
        }
        for kind, (added, is_wanted) in wanted.items():
            if is_wanted and not any(isinstance(callback, kind) for callback in named):
                named.append(added())
        kwargs |= {"callbacks": named} | ({} if has_batches else {"enable_progress_bar": False})
        have_folders = all(benchmark.output_dir for benchmark in benchmarks)
        if self.command == "validate" and not has_batches and have_folders and trainer.logger is None:
            kwargs["logger"] = False
        return super().instantiate_trainer(**kwargs)

    def run(self) -> None:
        """Run the command, and print the places of its results."""
        has_data = self.datamodule is not None or is_overridden("train_dataloader", self.model, LightningModule)
        if self.command == "fit" and not has_data:
            raise ValueError("fit needs data: add a file such as --config data/synthetic.yaml, or --data CLASS")
        trainer, began, path = self.trainer, time.time(), self.config.get("ckpt_path")
        options: dict[str, Any] = {"ckpt_path": path}
        if self.datamodule is not None:
            options["datamodule"] = self.datamodule
        if trainer.is_global_zero:
            trainer.loggers = numbered_loggers(self._loggers(), path if self.command == "fit" else None)
            if self._asks_for_last:
                self.config["ckpt_path"] = "last"  # so that a run with its config.yaml resumes too
        try:
            if self.command == "fit":
                trainer.fit(self.model, **options)
            elif self.command == "validate":  # without Lightning's table: benchmarks print their scores
                trainer.validate(self.model, verbose=False, **options)
            else:  # without keeping features: a callback writes the predictions
                trainer.predict(self.model, return_predictions=False, **options)
        except OSError as error:
            if error.filename is not None or error.errno is None:
                raise
            folder = next((logger.log_dir for logger in trainer.loggers), None) or trainer.default_root_dir
            raise OSError(error.errno, error.strerror, str(folder)) from error  # on a full disk Python names no file
        # on every rank: the ranks ask the first for the folder
        lines = closing_lines(trainer, self.next_command, began)
        if trainer.is_global_zero:
            print(*lines, sep="\n", end="\n" if lines else "")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    def _loggers(self) -> list[tuple[Logger, dict[str, Any]]]:
        """Return the loggers of the run with the arguments of their constructors."""
        made, given = self.trainer.loggers, self.config["trainer"]["logger"]
        if not made:
            return []
        if given in (None, True):
            version = SLURMEnvironment.job_id() if self.command == "fit" else None
            return [(logger, {"save_dir": self.trainer.default_root_dir, "version": version}) for logger in made]
        entries = given if isinstance(given, list) else [given]
        arguments = [vars(entry.get("init_args", {})) | dict(entry.get("dict_kwargs", {})) for entry in entries]
        return list(zip(made, arguments, strict=True))

    def next_command(self, checkpoint: str) -> str | None:
        """Return the command that repeats the run's last benchmark with a checkpoint.

        A run without a benchmark gets the benchmark that suits the method. None after a user's benchmark, or if no
        benchmark suits.
        """
        plain: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        entries = [(class_named(entry["class_path"]), entry) for entry in plain["trainer"]["callbacks"] or ()]
        described = [entry["init_args"]["benchmark"] for kind, entry in entries if kind is BenchmarkCallback]
        benchmarks: list[tuple[Any, Any]] = [(class_named(of["class_path"]), of["init_args"]) for of in described]
        kind, options = benchmarks[-1] if benchmarks else (None, {})
        names = [options.get("name"), kind.default_name] if kind else [getattr(self.model, "suited_benchmark", "davis")]
        configs = (f"benchmarks/{name}.yaml" for name in names)
        config = next((name for name in configs if (CONFIGS / name).is_file()), None)
        if config is None:
            return None
        words = ["vidcorr", "validate", "--ckpt_path", checkpoint, "--config", config]
        if kind is None:
            words += ["--trainer.callbacks.root", "FOLDER"]
        else:
            in_config = yaml.safe_load((CONFIGS / config).read_text())["trainer"]["callbacks+"][-1]["init_args"]
            for name, default in (defaults_of(kind) | in_config).items():
                if name in options.keys() - WHEN and (value := options[name]) != default:
                    words += [f"--trainer.callbacks.{name}", value if isinstance(value, str) else json.dumps(value)]
        for name in outside_code(plain["model"]):
            words += ["--allow", name]
        return shlex.join(words)


WHEN = {"every_n_epochs", "before_training", "output_dir", "fatal", "predictions", "name"}
"""Arguments of a benchmark that change its time and its files, but no score."""


def with_callbacks(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration in which each benchmark among the callbacks stands in its `BenchmarkCallback`."""
    trainer = dict(config.get("trainer") or {})
    entries = []
    for entry in trainer.get("callbacks") or []:
        if (kind := class_named(str(entry.get("class_path", "")))) and issubclass(kind, Benchmark):
            given = entry.get("init_args") or {}
            when = {key: value for key, value in given.items() if key in defaults_of(BenchmarkCallback)}
            inner = {key: value for key, value in given.items() if key not in when}
            benchmark = {"class_path": entry["class_path"], "init_args": inner}
            name = f"{BenchmarkCallback.__module__}.{BenchmarkCallback.__qualname__}"
            entry = {"class_path": name, "init_args": {"benchmark": benchmark, **when}}
        entries.append(entry)
    return config | {"trainer": trainer | {"callbacks": entries}} if entries else config


def with_last_checkpoint(config: dict[str, Any], given: Sequence[Given], command: str) -> dict[str, Any]:
    """Replace `last` in a configuration by the path of the newest checkpoint.

    The search covers `trainer.default_root_dir` and every `dirpath` of the callbacks. A `fit` without model and data
    repeats the checkpoint's run: it takes the `config.yaml` of the run before all other arguments, and keeps the
    folder. A `fit` without a checkpoint begins a new run.

    Raises:
        ValueError: if `validate` or `predict` find no checkpoint, or a checkpoint cannot be read.
    """
    trainer = config.setdefault("trainer", {})
    root = Path(trainer.get("default_root_dir") or DEFAULT_ROOT).expanduser()
    entries = [entry.get("init_args") or {} for entry in trainer.get("callbacks", [])]
    found = last_checkpoints(root, [Path(entry["dirpath"]).expanduser() for entry in entries if entry.get("dirpath")])
    if not found:
        if command != "fit":
            raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
        rank_zero_info(f"no last.ckpt in {root}: starting a new run")
        return config | {"ckpt_path": None}
    last = found[-1]
    of_run, by = last.path.parent.parent / "config.yaml", ""
    if command == "fit" and not config.keys() & {"model", "data"} and of_run.is_file():
        config, by = merge([read_config(str(of_run)), *given]), f", by {of_run}"
        config["trainer"]["default_root_dir"] = str(root)
    newest = f", the newest of {len(found)} runs" if len(found) > 1 else ""
    rank_zero_info(f"resuming from {last.path}: step {last.step}, epoch {last.epoch}{newest}{by}")
    return config | {"ckpt_path": str(last.path)}


def with_saved_model(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the model of its checkpoint, if it holds one; the configuration's arguments win."""
    path: Any = config.get("ckpt_path")
    saved = None if path in (None, "null") else saved_model(path)
    if saved is None:
        return config
    if config.get("model") is None:  # a file may hold `model: null`
        config = {key: value for key, value in config.items() if key != "model"}
    merged: dict[str, Any] = {"model": {"class_path": saved.class_path, "init_args": dict(saved.arguments)}}
    update(merged, config)
    reconcile(saved, merged["model"], path)
    return merged


def run(args: Sequence[str], about: str = "") -> None:
    """Run `fit`, `validate` or `predict`.

    Args:
        args: command and arguments.
        about: description of the command, for its help.

    Raises:
        UsageError: if the arguments cannot be understood.
    """
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    for name in CHATTY:
        logging.getLogger(name).addFilter(_is_of_interest)  # they also carry our messages
    set_parsing_settings(add_print_completion_argument=True)
    with signals.handled():
        VidcorrCLI(list(args), about, completes=args[0] not in COMMANDS).run()


def _is_of_interest(record: logging.LogRecord) -> bool:
    by_lightning = {"pytorch_lightning", "lightning_fabric"} & {*Path(record.pathname).parts}
    return record.levelno > logging.INFO or not by_lightning
