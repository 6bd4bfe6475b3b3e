"""`fit` and `validate`: LightningCLI with this project's defaults, `--on`, `--allow` and short names."""

import json
import logging
import os
import shlex
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightning_modules.base import CorrespondenceModule
from vidcorr import signals
from vidcorr.backbones.checkpoints import read_content, saved_model
from vidcorr.backbones.networks import SHORT_NAMES, read_spec, split_view
from vidcorr.backbones.trust import allow_named, outside_code
from vidcorr.errors import UsageError, explain
from vidcorr.experiments.configured import CONFIGS, FLAGS, add_flags, read_yaml
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

from .benchmark import BenchmarkCallback, callbacks_on
from .best_checkpoint import BestCheckpoint
from .last_checkpoint import LastCheckpoint
from .monitors import RunProgress, Throughput
from .run_folder import continued_logger, newest_checkpoint, remove_unused, run_folder
from .safeguards import Safeguards, refuse_callbacks

HOMES = ("lightning_modules", "datamodules", "callbacks", "vidcorr")
"""Packages whose public classes a command line names without a path."""
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
DEFAULTS = {"default_root_dir": "runs", "enable_model_summary": False}
"""Defaults of the Trainer."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided"
)
"""Warnings of Lightning without use on the command line."""
Options = list[tuple[str, Any]]
"""Options of configs and flags, with their values, in order of precedence; `init_args` is left out of the names."""


def run(args: Sequence[str]) -> None:
    """Run `fit` or `validate`.

    Args:
        args: command and arguments.

    Raises:
        UsageError: if the arguments cannot be understood.
    """
    warnings.filterwarnings("ignore", f".*({NOISE})")
    for name in ("pytorch_lightning", "lightning_fabric"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_is_of_interest)
    import_classes()
    with signals.handled():
        VidcorrCLI(args)


def import_classes() -> None:
    """Import all public classes: the parser finds by name what is imported."""
    for package in map(import_module, HOMES):
        for name in package.__all__:
            getattr(package, name)


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Return whether a message is one of ours, a warning, or of a lost rank; Lightning also tells of its products."""
    by_lightning = {"pytorch_lightning", "lightning_fabric"} & {*Path(record.pathname).parts}
    of_a_lost_rank = "terminated with code" in record.getMessage()
    return record.levelno > logging.INFO or not by_lightning or of_a_lost_rank


def arrange(args: Sequence[str], configs: Sequence[str] = ()) -> tuple[list[str], list[str], Options]:
    """Part the configs of a command line from its flags, so that flags win wherever they stand.

    A config of the project goes by its name (`data/kinetics.yaml`). A network as `vidcorr evaluate` takes it
    (`--model dino-b8`, `--model last.ckpt`) becomes a `FrozenEncoder`. Checkpoints may name the code that the command
    line and its configs name.

    Args:
        args: arguments after the command.
        configs: configs to read first.

    Returns:
        Words for the configs, words for the flags, and the options of both.

    Raises:
        UsageError: for a missing or unreadable config.
        ArgumentError: for `--config` or `--model` without a value.
    """
    words = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    words.add_argument("-c", "--config", action="append", default=list(configs))
    words.add_argument("--model")
    given, flags = words.parse_known_args(args)
    if given.model is not None:
        flags = [*_model_words(given.model), *flags]
    files = [read_yaml(name) for name in given.config]
    options = [option for _, content in files for option in _flat(content)]
    for word, following in zip(flags, [*flags[1:], ""], strict=False):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options.append((name.replace(".init_args", ""), value if equals else following))
    allow_named([args, options])
    return [f"--config={path}" for path, _ in files], flags, options


def _model_words(model: str) -> list[str]:
    """Return the words for `--model`: a class, or a `FrozenEncoder` of a network, see `read_spec`."""
    spec, _ = split_view(model)
    is_file = spec.endswith((".ckpt", ".safetensors")) or ("." in spec and Path(spec).is_file())
    is_network = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec or is_file
    if model.startswith("{") or not is_network:
        return [f"--model={model}"]
    arguments = {name: value for name, value in read_spec(model).items() if value is not None}
    return ["--model=FrozenEncoder", *(f"--model.{name}={value}" for name, value in arguments.items())]


def _flat(content: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options of a config, such as `model.class_path` and `trainer.callbacks+.dirpath`."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _flat(value, name if key == "init_args" else f"{name}.{key}".removeprefix("."))
    elif isinstance(content, list):
        for entry in content:
            yield from _flat(entry, name)
    else:
        yield name, content


def from_checkpoint(command: str, given: Options) -> tuple[list[str], list[str]]:
    """Read `--ckpt_path`: the model of the checkpoint, and the newest checkpoint for `last`.

    The search for `last` covers `trainer.default_root_dir` and every `dirpath` of the callbacks. A `fit` without model
    and data continues the run of the checkpoint, by the `config.yaml` of the run. A `fit` without a checkpoint begins a
    new run.

    Returns:
        Words before and after the other arguments of the command line.

    Raises:
        ValueError: if `validate` finds no checkpoint, or a checkpoint cannot be read.
    """
    options, before, after = dict(given), [], []
    path, root = options.get("ckpt_path"), Path(options.get("trainer.default_root_dir") or "runs").expanduser()
    if path is None and command == "fit" and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        path = "last"  # SLURM runs the same line again
    named = str(options.get("model.class_path") or options.get("model") or "").rpartition(".")[2]
    if path == "last":
        path = newest_checkpoint(root, [value for name, value in given if value and name.endswith(".dirpath")])
        if path is not None:
            state = read_content(path, whole=False)
            rank_zero_info(f"resuming from {path}: step {state['global_step']}, epoch {state['epoch']}")
        elif command == "fit":
            path = "null"
            rank_zero_info(f"no last.ckpt in {root}: starting a new run")
        else:
            raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
        after = [f"--ckpt_path={path}", f"--trainer.default_root_dir={root}"]
    if path in (None, "null"):
        return [], after
    of_run = Path(path).parent.parent / "config.yaml"
    if command == "fit" and of_run.is_file() and not any(name.startswith(("model", "data")) for name in options):
        rank_zero_info(f"the run continues by {of_run}")
        before = [f"--config={of_run}"]
    saved = saved_model(path)
    if saved is not None and named in ("", saved.class_path.rpartition(".")[2]):
        model = {"class_path": saved.class_path, "init_args": dict(saved.arguments)}
        before.insert(0, "--config=" + json.dumps({"model": model}))
    return before, after


def make_trainer(
    *, accelerator: str | Accelerator = "auto", precision: str | int | None = None, **kwargs: Any
) -> pl.Trainer:
    """Return Lightning's Trainer.

    Args:
        accelerator: "cpu", "gpu", "auto", or another accelerator of Lightning.
        precision: a precision of Lightning, or "auto": bfloat16 if the device has it, else float32 on a CPU and
            float16 on a GPU.
        **kwargs: other arguments of Lightning's Trainer.
    """
    if precision == "auto":
        asks_for_gpu = accelerator in ("auto", "gpu", "cuda")  # without one, Lightning refuses the last two
        chosen, reason = fastest_precision(gpu_or_cpu().type if asks_for_gpu else str(accelerator))
        precision = MIXED[chosen]
        rank_zero_info(f"precision auto: {precision} ({reason})")
    return pl.Trainer(accelerator=accelerator, precision=precision, **kwargs)  # type: ignore[arg-type]


def plain_words(value: Any) -> Any:
    """Return a configuration with words in place of members of an enumeration, which YAML cannot represent."""
    if isinstance(value, Namespace):
        made = value.clone()
        for name, part in vars(value).items():
            made[name] = plain_words(part)
        return made
    if isinstance(value, dict):
        return {name: plain_words(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain_words(part) for part in value]
    return value.value if isinstance(value, Enum) else value


class SaveConfig(SaveConfigCallback):
    """Write `config.yaml` into the folder of the run, with any logger. Without a logger, only a fit has the folder."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write the file, once; all ranks call it."""
        if self.already_saved or (stage != "fit" and not trainer.loggers):
            return
        self.already_saved = True
        folder = run_folder(trainer)  # on every rank: the ranks ask the first
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / self.config_filename
            self.parser.save(self.config, path, skip_unset=False, overwrite=True, multifile=False)


class VidcorrCLI(LightningCLI):
    """LightningCLI in which flags win over files, and files over the model of `--ckpt_path`.

    Args:
        args: command and arguments.

    Raises:
        UsageError: if the arguments cannot be understood.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.args, self.command = args, args[0]
        self.parsers: list[LightningArgumentParser] = []
        configs: list[str] = []
        options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        try:
            configs, flags, self.given = arrange(args[1:])
            before, after = from_checkpoint(self.command, self.given)
            super().__init__(
                pl.LightningModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                trainer_class=make_trainer,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                trainer_defaults={"callbacks": Safeguards(), **DEFAULTS},
                save_config_callback=SaveConfig,
                parser_kwargs=options | {name: dict(options) for name in self.subcommands()},
                args=[self.command, *before, *configs, *flags, *after],
            )
        except ArgumentError as error:
            parsers = dict(zip(self.subcommands(), self.parsers, strict=False))
            known = parsers[self.command].get_defaults(skip_validation=True).keys() if parsers else ()
            classes = [*SHORT_NAMES, *(name for home in HOMES for name in import_module(home).__all__)]
            files = [Path(word.partition("=")[2]) for word in configs]
            raise UsageError(explain(str(error), known, classes, files)) from error

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands with the arguments of the Trainer's methods that they leave out."""
        left_out = {"verbose", "weights_only"}
        every = LightningCLI.subcommands()
        return {name: every[name] | left_out for name in ("fit", "validate")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the words that LightningCLI does not have; it calls this for the parser of each command."""
        self.parsers.append(parser)
        add_flags(parser)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `from_checkpoint` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Seed data and model too, unless they set a seed."""
        self.config = plain_words(self.config)
        config = self.config[self.command]
        for section in ("model", "data"):
            arguments = (config.get(section) or {}).get("init_args") or {}
            if "seed" in arguments and f"{section}.seed" not in dict(self.given):
                arguments["seed"] = int(config.seed_everything)

    def instantiate_classes(self) -> None:
        """Make the benchmarks of `--on` before all else, since a missing folder is known at once."""
        self.on = callbacks_on(self.config[self.command])
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the default callbacks, unless the configuration names a callback of the same kind.

        A run that resumes with Lightning's default logger continues in its folder.
        """
        trainer = self.config_init[self.command].trainer
        fits, has_batches = self.command == "fit", self.command == "fit" or self.datamodule is not None
        wanted: dict[type[pl.Callback], tuple[type[pl.Callback], bool]] = {
            LearningRateMonitor: (LearningRateMonitor, fits and trainer.logger is not False),
            LastCheckpoint: (LastCheckpoint, fits and trainer.enable_checkpointing is not False),
            BestCheckpoint: (BestCheckpoint, fits and bool(self.on) and trainer.enable_checkpointing is not False),
            Throughput: (Throughput, fits),
            ProgressBar: (RunProgress, trainer.enable_progress_bar is not False and has_batches),
        }
        callbacks = [*(trainer.callbacks or []), *self.on]
        if self.command == "validate" and not has_batches and not _benchmarks_among(callbacks):
            raise ValueError("nothing to measure: add --on davis=FOLDER, or another benchmark")
        if fits and self.on and trainer.limit_val_batches == 0:
            raise ValueError("--on needs passes of validation: leave trainer.limit_val_batches=0 out")
        for kind, (added, is_wanted) in wanted.items():
            if is_wanted and not any(isinstance(callback, kind) for callback in callbacks):
                callbacks.append(added())
        path = self.config[self.command].ckpt_path
        if fits and path and trainer.logger in (None, True):
            kwargs["logger"] = continued_logger(trainer.default_root_dir, path)
        if not has_batches:  # benchmarks show their progress themselves
            kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def before_fit(self) -> None:
        """Refuse a training without data, and benchmarks of features that the model lacks."""
        if self.datamodule is None and not is_overridden("train_dataloader", self.model, pl.LightningModule):
            raise ValueError("fit needs data: add a file such as --config data/synthetic.yaml, or --data CLASS")
        refuse_callbacks(self.trainer)
        for callback in _benchmarks_among(self.trainer.callbacks):  # type: ignore[attr-defined]
            callback.benchmark.extractor(self.model)  # before data are generated or read

    def fit(self, **options: Any) -> None:
        """Train."""
        with self.interruptible():
            self.trainer.fit(**options)

    def validate(self, **options: Any) -> None:
        """Validate without Lightning's table: benchmarks print their scores."""
        with self.interruptible():
            self.trainer.validate(verbose=False, **options)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """After a stop or an error, print the command that resumes, or remove the folder of a refused run."""
        folder = Path(getattr(self.trainer.logger, "log_dir", None) or ".")
        is_new = not folder.exists()
        try:
            yield
        except BaseException:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            saved = [callback.best_model_path for callback in callbacks if isinstance(callback, LastCheckpoint)]
            if path := next(filter(None, saved), None):
                rank_zero_info(f"resume: {self.resume_command(path)}")
            elif is_new and self.trainer.is_global_zero and self.trainer.global_step == 0:
                remove_unused(folder)
            raise

    def after_fit(self) -> None:
        """Print the closing lines."""
        lines = self.summary()
        if self.trainer.is_global_zero and lines:
            print(*lines, sep="\n")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    after_validate = after_fit

    def summary(self) -> list[str]:
        """Return the closing lines: scores, page of the last result, checkpoint and next command.

        Scores of benchmarks are in per cent; without a benchmark the lines have the method's `val/…` values.
        """
        trainer, lines = self.trainer, []
        benchmarks = _benchmarks_among(trainer.callbacks)  # type: ignore[attr-defined]
        for history in [benchmark.history for benchmark in benchmarks if len(benchmark.history) > 1]:
            first, last = min(history), max(history)
            # a run that resumed may have other stages, and a benchmark without annotations has no scores
            if key := next((key for key in history[last] if key in history[first]), None):
                was, is_now = (f"{100 * history[step][key]:.1f} % at step {step}" for step in (first, last))
                lines.append(f"{key} {was}, {is_now}")
        if not benchmarks:
            scores = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
            lines += [", ".join(f"{key} {score:.4f}" for key, score in scores.items())] if scores else []
        pages = [benchmark.folder / "report.html" for benchmark in benchmarks if benchmark.folder is not None]
        lines += [f"report: {page}" for page in pages[-1:]]
        if self.command == "fit":
            # `LastCheckpoint` comes after those that keep the best
            kept = [getattr(callback, "best_model_path", "") for callback in trainer.checkpoint_callbacks]
            for path in list(filter(None, kept))[:1]:
                command = self.next_command(path)
                lines.append(f"checkpoint: {path}" + (f"; next: {command}" if command else ""))
        return lines

    def resume_command(self, checkpoint: str) -> str:
        """Return the run's command line, with a checkpoint to resume from."""
        pairs = zip(["", *self.args], self.args, strict=False)
        words = [word for before, word in pairs if "--ckpt_path" not in (before, word.partition("=")[0])]
        return shlex.join(["vidcorr", *words, "--ckpt_path", checkpoint])

    def next_command(self, checkpoint: str) -> str | None:
        """Return the command that repeats the run's last benchmark with a checkpoint.

        A run without a benchmark gets the benchmark that suits the method. None if no config describes the benchmark.
        """
        config, benchmarks = self.config[self.command], _benchmarks_among(self.trainer.callbacks)  # type: ignore[attr-defined]
        suited = self.model.suited_benchmark if isinstance(self.model, CorrespondenceModule) else "davis"
        flags: dict[str, Any] = {"on": [f"{suited}=FOLDER"]}
        if config.on:
            flags = {name: config[name] for name in (*FLAGS, "limit")}
        elif benchmarks:
            last = benchmarks[-1].benchmark
            if not (CONFIGS / "benchmarks" / f"{last.name}.yaml").is_file():
                return None
            flags = {"on": [f"{last.name}={getattr(last, 'root', '')}"], "protocol": [last.protocol.name]}
            flags |= {"stage": last.stage, "stride": last.stride}
        words = ["vidcorr", "validate", "--ckpt_path", checkpoint]
        for name, values in flags.items():
            if values:
                words += [f"--{name}", *map(str, values if isinstance(values, list) else [values])]
        model = config.model
        for name in outside_code({"class_path": model.class_path, "init_args": dict(model.init_args)}):
            words += ["--allow", name]
        return shlex.join(words)


def _benchmarks_among(callbacks: Sequence[pl.Callback]) -> list[BenchmarkCallback]:
    return [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
