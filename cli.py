"""`fit` and `validate` by LightningCLI, with benchmarks by `--on`; `vidcorr.commands` runs all other commands."""

import json
import os
import shlex
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml  # type: ignore[import-untyped]
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info

import callbacks
import datamodules
import lightning_modules
import vidcorr
from callbacks import BenchmarkCallback, LastCheckpoint, Stops, Throughput
from callbacks.run_folder import run_folder
from vidcorr.backbones import NamedNetwork
from vidcorr.backbones.checkpoints import SUFFIXES, local_file, on_hub, saved_model
from vidcorr.backbones.names import split_view
from vidcorr.backbones.networks import SHORT_NAMES
from vidcorr.backbones.trust import allow_named
from vidcorr.commands import main
from vidcorr.errors import UsageError, one_line
from vidcorr.experiments.benchmark_choice import RUN_FLAGS, add_run_flags, chosen_benchmarks
from vidcorr.experiments.config_files import find_config, read_yaml
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

__all__ = ["VidcorrCLI", "main"]
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
BENCHMARK = "callbacks.BenchmarkCallback"
BEST = "callbacks.BestCheckpoint"
ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
READ_FIRST = ("-c", "--config", "--model", "--ckpt_path", "--trainer.default_root_dir")
"""Flags that `words_for_parser` reads."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided|exists and is not empty"
    "|no last checkpoint available"
)
"""Warnings of Lightning without use on the command line."""
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


# Words before the parser: configs and networks by name, and the run of a checkpoint


def words_for_parser(command: str, args: Sequence[str]) -> list[str]:
    """Return the words for LightningCLI: files in place of names, and before all the run of `--ckpt_path`.

    Later words win. A run's `config.yaml` comes first in a `fit` that resumes it, unless the words name a model: then
    they describe a whole run, with its own limits. Otherwise the checkpoint's model comes first.

    Args:
        command: `fit` or `validate`.
        args: the words after the command.

    Raises:
        UsageError: for a config that does not exist.
        ValueError: for a checkpoint that does not exist or cannot be read.
    """
    allow_named(args)
    root = ROOT
    checkpoint = None
    if command == "fit" and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        checkpoint = "last"  # SLURM runs the same words again
    words: list[str] = []
    names_model = False  # the words or their configs do
    rest = iter(args)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in READ_FIRST:
            words.append(word)
            continue
        if not equals:
            value = next(rest, "")
        if flag == "--ckpt_path":
            checkpoint = str(local_file(value)) if on_hub(value) else value
        elif flag == "--trainer.default_root_dir":
            root = value
            words.append(f"{flag}={root}")
        elif flag == "--model":
            names_model = True
            words += _words_of_model(value)
        else:
            path = find_config(value)
            content = read_yaml(path)
            allow_named(content)
            names_model = names_model or "model" in content
            root = (content.get("trainer") or {}).get("default_root_dir", root)
            words.append(f"--config={path}")
    if checkpoint == "last":
        checkpoint = last_checkpoint(Path(root).expanduser())
        if checkpoint is None and command == "validate":
            raise ValueError(f"--ckpt_path last: no last.ckpt below {root}")
        if checkpoint is None:
            return [*words, "--ckpt_path=last"]  # Lightning searches the folders of callbacks
    if checkpoint in (None, "null"):  # "null" takes back an earlier word
        return words
    takes_config = command == "fit" and not names_model
    return [*_words_of_checkpoint(checkpoint, takes_config), *words, f"--ckpt_path={checkpoint}"]


def _words_of_checkpoint(checkpoint: str, takes_config: bool) -> list[str]:
    """Return the words for what a checkpoint knows: its run's config if that is taken and there, else its model."""
    config = _config_of(checkpoint)
    if takes_config and config.is_file():
        return [f"--config={config}"]
    saved = saved_model(checkpoint)
    return [] if saved is None else [f"--config={json.dumps({'model': saved})}"]


def _words_of_model(value: str) -> list[str]:
    """Return the words for the value of `--model`: a class, or a network as `vidcorr evaluate` takes it."""
    spec, _ = split_view(value)
    is_file = spec.endswith(SUFFIXES) or Path(spec).is_file()
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    if value.startswith("{") or not (is_file or is_named):
        return [f"--model={value}"]
    parts = [f"--model.{name}={part}" for name, part in NamedNetwork(value).arguments().items()]
    return ["--model=FrozenEncoder", *parts]


def last_checkpoint(root: Path) -> str | None:
    """Return the newest `last.ckpt` below a folder, or `last-v1.ckpt` of a second run; None if there is none.

    Raises:
        ValueError: if runs of different models or data lie below the folder.
    """
    newest: dict[str, str] = {}  # model and data → newest checkpoint
    # the oldest first: a newer one takes its place
    for path in sorted(root.rglob("last*.ckpt"), key=lambda path: path.stat().st_mtime_ns):
        config = _config_of(path)
        content = yaml.safe_load(config.read_text("utf-8")) if config.is_file() else {}
        newest[repr([content.get("model"), content.get("data")])] = str(path)
    if len(newest) > 1:
        names = ", ".join(newest.values())
        raise ValueError(f"--ckpt_path last: {root} holds different trainings; name the checkpoint of one: {names}")
    return next(iter(newest.values()), None)


def _config_of(checkpoint: str | Path) -> Path:
    """Return the path of the `config.yaml` of a checkpoint's run."""
    return Path(checkpoint).parent.parent / "config.yaml"


# Trainer and config


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
        asks_for_gpu = accelerator in ("auto", "gpu", "cuda")  # without a GPU, Lightning refuses "gpu" and "cuda"
        device = gpu_or_cpu().type if asks_for_gpu else str(accelerator)
        chosen, reason = fastest_precision(device)
        precision = MIXED[chosen]
        rank_zero_info(f"precision auto: {precision} ({reason})")
    return pl.Trainer(accelerator=accelerator, precision=precision, **kwargs)  # type: ignore[arg-type]


class ShortLogInterval(pl.Callback):
    """Log at least ten times in a run that is shorter than ten of Lightning's intervals."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shorten the interval; the number of steps is known once the loaders are."""
        steps = trainer.estimated_stepping_batches
        if 0 < steps < 10 * trainer.log_every_n_steps:  # type: ignore[attr-defined]
            trainer.log_every_n_steps = max(1, int(steps) // 10)  # type: ignore[attr-defined]


class SaveConfig(SaveConfigCallback):
    """Write `config.yaml` into the folder of a training, with any logger, once the training is no longer refused.

    The file has no `ckpt_path`: a run that begins by the file resumes nothing.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write nothing yet: a refused run leaves the file of the run before it."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Write the file once, before the first batch: all callbacks have accepted the run."""
        if self.already_saved:
            return
        self.already_saved = True
        folder = run_folder(trainer)  # called on every rank, because ranks get the folder from the first
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            config = self.config.clone()
            config.ckpt_path = None
            self.parser.save(config, folder / self.config_filename, skip_unset=False, overwrite=True, multifile=False)


class VidcorrCLI(LightningCLI):
    """LightningCLI with benchmarks by `--on`, configs and networks by name, and runs that continue.

    Args:
        args: command and arguments.

    Raises:
        UsageError: if the arguments cannot be understood.
    """

    def __init__(self, args: Sequence[str]) -> None:
        warnings.filterwarnings("ignore", f".*({NOISE})")
        self.args = args
        self.command, *words = args
        for package in (lightning_modules, datamodules, callbacks, vidcorr):
            for name in package.__all__:
                getattr(package, name)  # the parser finds a class by its name once it is imported
        options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        try:
            super().__init__(
                pl.LightningModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                trainer_class=make_trainer,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                trainer_defaults={"callbacks": Stops(), "default_root_dir": ROOT, "enable_model_summary": False},
                save_config_callback=SaveConfig,
                parser_kwargs=options | {name: dict(options) for name in self.subcommands()},
                args=[self.command, *words_for_parser(self.command, words)],
            )
        except ArgumentError as error:
            raise UsageError(one_line(error)) from error

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands with the arguments of the Trainer's methods that they leave out."""
        every = LightningCLI.subcommands()
        return {name: every[name] | {"verbose", "weights_only"} for name in ("fit", "validate")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the flags of the benchmarks."""
        add_run_flags(parser)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `words_for_parser` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Seed data and model as the run, unless they have a seed; make callbacks of the benchmarks of `--on`."""
        config = self.config[self.command]
        for section in ("model", "data"):
            arguments = (config.get(section) or {}).get("init_args") or {}
            if arguments.get("seed") == 0:  # the default
                arguments["seed"] = int(config.seed_everything)
            if self.command == "validate" and arguments.get("source") == "":
                config.data = None  # the file of a method says how clips are made, not of which videos
        given = config.trainer.callbacks or []
        if not isinstance(given, list):
            given = [given]
        config.trainer.callbacks = self._with_benchmarks(config, given)
        defaults = self._parser(self.command).get_defaults()
        for name in ("on", *RUN_FLAGS):  # the run's `config.yaml` holds the callbacks, so not the flags too
            config[name] = defaults[name]
        self.config = self.parser.parse_object(self.config)  # checks the new entries

    def _with_benchmarks(self, config: Any, given: Sequence[Any]) -> list[Any]:
        """Return entries of `trainer.callbacks` with the benchmarks of `--on`, and in a fit with a `BestCheckpoint`.

        A benchmark replaces one of the same class and name, for example in the config of the run that continues.

        Args:
            config: values of the flags.
            given: entries of the callbacks so far.
        """
        by_flags = {"every_n_epochs": config.every} if config.every else {}
        if config.before:
            by_flags["before_training"] = True
        chosen = chosen_benchmarks(config)
        names = {(choice.class_path, choice.arguments.get("name", "")) for choice in chosen}
        entries: list[Any] = []
        for entry in given:
            benchmark = entry.get("init_args.benchmark") if entry.class_path == BENCHMARK else None
            if benchmark is None or (benchmark.class_path, benchmark.init_args.name) not in names:
                entries.append(entry)
        for choice in chosen:
            choice.build()  # its errors name the benchmark; jsonargparse builds another from the entry
            arguments = {"benchmark": choice.entry, **choice.schedule, **by_flags}
            entries.append({"class_path": BENCHMARK, "init_args": arguments})
        saves = self.command == "fit" and config.trainer.enable_checkpointing is not False
        if chosen and saves and BEST not in {entry.class_path for entry in given}:
            entries.append({"class_path": BEST})
        return entries

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the default callbacks, unless the configuration names a callback of the same kind.

        A fit that resumes continues in the folder of its run, unless the configuration names a logger.

        Raises:
            ValueError: for ranks that are forks of a process with threads: on a CPU they stand still.
        """
        trainer = self.config_init[self.command].trainer
        forks = any(word in str(trainer.strategy) for word in ("fork", "notebook"))
        if forks and torch.get_num_threads() > 1:
            raise ValueError(
                f"trainer.strategy {trainer.strategy}: a fork of a process with threads stands still; use ddp"
            )
        fits = self.command == "fit"
        checkpoint = self.config[self.command].ckpt_path
        if fits and checkpoint and trainer.logger in (None, True) and not trainer.barebones:
            kwargs["logger"] = continued_logger(trainer.default_root_dir, checkpoint)
        is_wanted: dict[type[pl.Callback], bool] = {
            Throughput: fits,
            ShortLogInterval: fits and trainer.log_every_n_steps is None,
            LearningRateMonitor: fits and trainer.logger is not False,
            LastCheckpoint: fits and trainer.enable_checkpointing is not False,
            ProgressBar: trainer.enable_progress_bar is not False,
        }
        added: list[pl.Callback] = []
        for kind, wanted in is_wanted.items():
            has_own = any(isinstance(callback, kind) for callback in trainer.callbacks)
            if wanted and not has_own and not trainer.barebones:
                added.append(TQDMProgressBar() if kind is ProgressBar else kind())
        return super().instantiate_trainer(callbacks=[*trainer.callbacks, *added], **kwargs)

    def fit(self, **options: Any) -> None:
        """Train; after a stop or an error, print the command that resumes."""
        try:
            self.trainer.fit(**options)
        except BaseException:
            for callback in self.trainer.checkpoint_callbacks:
                if isinstance(callback, LastCheckpoint) and callback.best_model_path:
                    words = ["vidcorr", *self.args, "--ckpt_path", callback.best_model_path]
                    rank_zero_info(f"resume: {shlex.join(words)}")
            raise

    def validate(self, **options: Any) -> None:
        """Validate without Lightning's table where benchmarks print their scores."""
        self.trainer.validate(verbose=not benchmarks_among(self.trainer), **options)

    def after_fit(self) -> None:
        """Print the last page of a benchmark, and the command that measures the checkpoint of a fit."""
        trainer = self.trainer
        folders = [benchmark.folder for benchmark in benchmarks_among(trainer) if benchmark.folder is not None]
        paths = [getattr(callback, "best_model_path", "") for callback in trainer.checkpoint_callbacks]
        saved = list(filter(None, paths))  # the best first: `LastCheckpoint` comes after those that keep the best
        config = run_folder(trainer) / "config.yaml"  # it holds the benchmarks; all ranks get the folder from the first
        if trainer.is_global_zero and folders:
            print(f"report: {folders[-1] / 'report.html'}")
        if trainer.is_global_zero and self.command == "fit" and saved:
            print("next:", shlex.join(["vidcorr", "validate", "--config", str(config), "--ckpt_path", saved[0]]))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    after_validate = after_fit


def continued_logger(root: str | Path, path: str | Path) -> TensorBoardLogger | None:
    """Return Lightning's default logger for a run that resumes: it continues in the folder of the `last.ckpt`.

    Args:
        root: `default_root_dir` of the new run.
        path: checkpoint to resume from; for another file than the `last.ckpt` of a run in `root` there is no logger.
    """
    run_of_path = Path(path).resolve().parent.parent
    logger = TensorBoardLogger(root, version=run_of_path.name)
    is_of_root = Path(path).name.startswith("last") and Path(logger.log_dir).resolve() == run_of_path
    return logger if is_of_root else None


def benchmarks_among(trainer: Any) -> list[BenchmarkCallback]:
    """Return the benchmarks of a run, in order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, BenchmarkCallback)]


if __name__ == "__main__":
    main()
