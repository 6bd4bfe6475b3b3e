"""`fit` and `validate` by LightningCLI, with benchmarks by `--on`; `vidcorr.commands` runs all other commands."""

import json
import logging
import os
import shlex
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
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
from lightning_modules.base import CorrespondenceModule
from lightning_modules.parts.run_folder import run_folder
from lightning_modules.parts.saving import SavedModule
from vidcorr import signals
from vidcorr.backbones.checkpoints import SUFFIXES, local_file, on_hub, saved_model
from vidcorr.backbones.names import SHORT_NAMES, read_spec, split_view
from vidcorr.backbones.trust import allow_named, import_path, outside_code
from vidcorr.commands import main
from vidcorr.errors import UsageError, one_line
from vidcorr.experiments.benchmark_choice import add_run_flags, chosen_benchmarks
from vidcorr.experiments.config_files import find_config, read_yaml
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

__all__ = ["VidcorrCLI", "main", "run"]
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
BENCHMARK = "callbacks.BenchmarkCallback"
BEST = "callbacks.BestCheckpoint"
ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided|exists and is not empty"
    "|no last checkpoint available"
)
"""Warnings of Lightning without use on the command line."""


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
            handler.addFilter(is_of_interest)
    with signals.handled():
        VidcorrCLI(args)


def is_of_interest(record: logging.LogRecord) -> bool:
    """Return whether a message is from this project, a warning, or of a lost rank, and not of Lightning's products."""
    by_lightning = {"pytorch_lightning", "lightning_fabric"} & {*Path(record.pathname).parts}
    of_a_lost_rank = "terminated with code" in record.getMessage()
    return record.levelno > logging.INFO or not by_lightning or of_a_lost_rank


# Words before the parser: configs and networks by name, and the run of a checkpoint


def words_for_parser(command: str, args: Sequence[str]) -> list[str]:
    """Return the words for LightningCLI: files in place of names, and before all the run of `--ckpt_path`.

    A run's `config.yaml` comes first in a `fit` that resumes it, unless the words name both model and data: then they
    describe a whole run, with its own limits. Otherwise the checkpoint's model comes first.

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
    described: set[str] = set()
    for word in _joined(args):
        flag, _, value = word.partition("=")
        described.add(flag)
        if flag in ("-c", "--config"):
            path = find_config(value)
            content = read_yaml(path)
            allow_named(content)
            described.update(f"--{section}" for section in content if section != "data" or names_videos(content))
            root = (content.get("trainer") or {}).get("default_root_dir", root)
            words.append(f"--config={path}")
        elif flag == "--model" and is_network(value):
            words.append("--model=FrozenEncoder")
            spec = {name: part for name, part in read_spec(value).items() if part is not None}
            words += [f"--model.{name}={part}" for name, part in spec.items()]
        elif flag == "--ckpt_path":
            checkpoint = str(local_file(value)) if on_hub(value) else value
        else:
            if flag == "--trainer.default_root_dir":
                root = value
            words.append(word)
    first: list[str] = []
    if checkpoint == "last":
        checkpoint = last_checkpoint(Path(root).expanduser())
        if checkpoint is None and command == "validate":
            raise ValueError(f"--ckpt_path last: no last.ckpt below {root}")
        first = [f"--trainer.default_root_dir={root}"]
        if checkpoint is None:
            return [*first, *words, "--ckpt_path=last"]  # Lightning searches the folders of callbacks
    if checkpoint in (None, "null"):
        return [*first, *words]
    continues = command == "fit" and not described.issuperset(("--model", "--data"))
    return [*_words_of_checkpoint(checkpoint, continues), *first, *words, f"--ckpt_path={checkpoint}"]


def _joined(args: Sequence[str]) -> Iterator[str]:
    """Yield words, with `--config FILE` as `--config=FILE`, for the flags that `words_for_parser` reads."""
    flag = ""
    for word in args:
        if flag:
            yield f"{flag}={word}"
            flag = ""
        elif word in ("-c", "--config", "--model", "--ckpt_path", "--trainer.default_root_dir"):
            flag = word
        else:
            yield word
    if flag:
        yield flag


def names_videos(content: dict[str, Any]) -> bool:
    """Return whether a config's data are complete: the file of a method may say how clips are made, not of what."""
    data = content["data"]
    if not isinstance(data, dict) or str(data.get("class_path")).rpartition(".")[2] != "VideoDataModule":
        return True
    return "source" in (data.get("init_args") or {})


def is_network(name: str) -> bool:
    """Return whether the value of `--model` is a network, as `vidcorr evaluate` takes it, and not a class."""
    spec, _ = split_view(name)
    is_file = spec.endswith(SUFFIXES) or Path(spec).is_file()
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    return (is_file or is_named) and not name.startswith("{")


def last_checkpoint(root: Path) -> str | None:
    """Return the newest `last.ckpt` below a folder; None if there is none.

    Raises:
        ValueError: if runs of different models or data lie below the folder.
    """
    paths = sorted(root.rglob("last*.ckpt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    runs: dict[str, Path] = {}  # model and data → newest checkpoint
    for path in paths:
        config = _config_of(path)
        content = yaml.safe_load(config.read_text("utf-8")) if config.is_file() else {}
        runs.setdefault(json.dumps([content.get("model"), content.get("data")], default=str), path)
    if len(runs) > 1:
        names = ", ".join(map(str, runs.values()))
        raise ValueError(f"--ckpt_path last: {root} holds different trainings; name the checkpoint of one: {names}")
    if not paths:
        rank_zero_info(f"no last.ckpt below {root}: starting a new run")
        return None
    return str(paths[0])


def _config_of(checkpoint: str | Path) -> Path:
    """Return the place of the `config.yaml` of a checkpoint's run."""
    return Path(checkpoint).parent.parent / "config.yaml"


def _words_of_checkpoint(checkpoint: str, continues: bool) -> list[str]:
    """Return the words that describe a checkpoint: the config of the run that continues, else the model."""
    config = _config_of(checkpoint)
    if continues and config.is_file():
        rank_zero_info(f"the run continues by {config}")
        return [f"--config={config}"]
    saved = saved_model(checkpoint)
    if saved is None:
        return []
    return [f"--config={json.dumps({'model': saved})}"]


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

    Raises:
        ValueError: for a strategy or accelerator that this machine lacks.
    """
    if precision == "auto":
        asks_for_gpu = accelerator in ("auto", "gpu", "cuda")  # without a GPU, Lightning refuses "gpu" and "cuda"
        device = gpu_or_cpu().type if asks_for_gpu else str(accelerator)
        chosen, reason = fastest_precision(device)
        precision = MIXED[chosen]
        rank_zero_info(f"precision auto: {precision} ({reason})")
    try:
        return pl.Trainer(accelerator=accelerator, precision=precision, **kwargs)  # type: ignore[arg-type]
    except (TypeError, ModuleNotFoundError) as error:  # this machine lacks the strategy
        raise ValueError(f"trainer: {error}") from error


class ShortLogInterval(pl.Callback):
    """Log at least ten times in a run that is shorter than ten of Lightning's intervals."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shorten the interval; the number of steps is known once the loaders are."""
        steps = trainer.estimated_stepping_batches
        if 0 < steps < 10 * trainer.log_every_n_steps:  # type: ignore[attr-defined]
            trainer.log_every_n_steps = max(1, int(steps) // 10)  # type: ignore[attr-defined]


class SaveConfig(SaveConfigCallback):
    """Write `config.yaml` into the folder of the run, with any logger, once the run is no longer refused.

    The file has no `ckpt_path`: a run that begins by the file resumes nothing. Without a logger, only a fit has a
    folder.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write nothing yet: a refused run leaves the file of the run before it."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Write the file of a fit, before the first batch: all callbacks have accepted the run."""
        self._write(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file of a `validate`."""
        if trainer.state.fn != "fit" and trainer.loggers:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        """Write the file once; all ranks call it."""
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
        left_out = {"verbose", "weights_only"}
        every = LightningCLI.subcommands()
        return {name: every[name] | left_out for name in ("fit", "validate")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the flags of the benchmarks."""
        add_run_flags(parser)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `words_for_parser` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Seed data and model as the run, unless they have a seed; make callbacks of the benchmarks of `--on`.

        Entries of `trainer.callbacks` that stand twice, in the config of a run and in the words that continue it, count
        once.
        """
        config = self.config[self.command]
        arguments_of_data = (config.get("data") or {}).get("init_args") or {}
        if self.command == "validate" and arguments_of_data.get("source") == "":
            config.data = None  # the file of a method says how clips are made, not of which videos
        for section in ("model", "data"):
            arguments = (config.get(section) or {}).get("init_args") or {}
            if arguments.get("seed") == 0:
                arguments["seed"] = int(config.seed_everything)
        self.flags = config.clone()
        for name in ("on", "protocol", "change", "stage", "stride"):
            config[name] = []
        config.limit = None
        config.every = None
        config.before = False
        entries = self._entries_of_on()
        if entries:
            given = [entry.as_dict() for entry in _as_list(config.trainer.callbacks)]
            added = {self.command: {"trainer": {"callbacks": [*given, *entries]}}}
            self.config = self.parser.parse_object(added, self.config)
        trainer = self.config[self.command].trainer
        if isinstance(trainer.callbacks, list):
            different: list[Any] = []
            for entry in trainer.callbacks:
                if entry not in different:
                    different.append(entry)
            trainer.callbacks = different
        for entry in _as_list(trainer.callbacks):
            for name, value in (entry.get("init_args") or {}).items():
                if isinstance(value, Enum):  # YAML cannot represent a member
                    entry.init_args[name] = value.value

    def _entries_of_on(self) -> list[dict[str, Any]]:
        """Return entries of `trainer.callbacks` for the benchmarks of `--on`, and in a fit for a `BestCheckpoint`.

        Raises:
            UsageError: for a flag without its benchmark, or a flag of a fit in `validate`.
            ValueError: for a benchmark that `chosen_benchmarks` refuses.
        """
        flags = self.flags
        chosen = chosen_benchmarks(flags)
        schedule: dict[str, Any] = {}
        if flags.every:
            schedule["every_n_epochs"] = flags.every
        if flags.before:
            schedule["before_training"] = True
        if schedule and (self.command != "fit" or not chosen):
            raise UsageError("--every and --before say when a fit runs the benchmarks of --on")
        if chosen and flags.trainer.barebones:
            raise ValueError("trainer.barebones has no validation, in which benchmarks run: leave --on out")
        entries = []
        for choice in chosen:
            benchmark = {"class_path": choice.class_path, "init_args": choice.arguments}
            arguments = {"benchmark": benchmark, **choice.schedule, **schedule}
            entries.append({"class_path": BENCHMARK, "init_args": arguments})
        given = [entry.class_path for entry in _as_list(flags.trainer.callbacks)]
        if self.command == "fit" and chosen and BEST not in given and flags.trainer.enable_checkpointing is not False:
            entries.append({"class_path": BEST})
        return entries

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the default callbacks, unless the configuration names a callback of the same kind."""
        trainer = self.config_init[self.command].trainer
        fits = self.command == "fit"
        has_batches = fits or self.datamodule is not None
        given = _as_list(trainer.callbacks)
        measures = has_batches and trainer.limit_val_batches != 0
        if self.command == "validate" and not measures and not benchmarks_among(given):
            raise ValueError("nothing to measure: add --on davis=FOLDER, or another benchmark")
        refuse_forks(str(trainer.strategy))
        checkpoint = self.config[self.command].ckpt_path
        is_equipped = not trainer.barebones  # with barebones, Lightning takes neither logger nor checkpoints nor a bar
        defaults: list[type[pl.Callback]] = []
        if fits and is_equipped:
            defaults.append(Throughput)
        if fits and is_equipped and trainer.logger is not False:
            defaults.append(LearningRateMonitor)
        if fits and is_equipped and trainer.log_every_n_steps is None:
            defaults.append(ShortLogInterval)
        if fits and is_equipped and trainer.enable_checkpointing is not False:
            defaults.append(LastCheckpoint)
        added = [kind() for kind in defaults if not any(isinstance(callback, kind) for callback in given)]
        shows_progress = is_equipped and has_batches and trainer.enable_progress_bar is not False
        if shows_progress and not any(isinstance(callback, ProgressBar) for callback in given):
            added.append(TQDMProgressBar())
        if fits and is_equipped and checkpoint and trainer.logger in (None, True):
            kwargs["logger"] = continued_logger(trainer.default_root_dir, checkpoint)
        if not has_batches:  # benchmarks show their progress themselves
            kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(callbacks=[*given, *added], **kwargs)

    def fit(self, **options: Any) -> None:
        """Train; after a stop or an error, print the command that resumes."""
        try:
            self.trainer.fit(**options)
        except BaseException:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            saved = [callback.best_model_path for callback in callbacks if isinstance(callback, LastCheckpoint)]
            for path in filter(None, saved):
                rank_zero_info(f"resume: {resume_command(self.args, path)}")
            raise

    def validate(self, **options: Any) -> None:
        """Validate without Lightning's table: benchmarks print their scores."""
        self.trainer.validate(verbose=False, **options)

    def after_fit(self) -> None:
        """Print the closing lines."""
        lines = closing_lines(self.trainer, self.flags)
        if self.trainer.is_global_zero and lines:
            print(*lines, sep="\n")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    after_validate = after_fit


def refuse_forks(strategy: str) -> None:
    """Refuse strategies that start ranks as copies of a process that has threads, or of callbacks.

    Raises:
        ValueError: with the strategy to take.
    """
    if "spawn" in strategy:
        raise ValueError(f"trainer.strategy {strategy}: copies of callbacks fail; use ddp")
    if ("fork" in strategy or "notebook" in strategy) and torch.get_num_threads() > 1:
        raise ValueError(f"trainer.strategy {strategy}: a fork of a process with threads stands still; use ddp")


def continued_logger(root: str | Path, path: str | Path) -> TensorBoardLogger | None:
    """Return Lightning's default logger for a run that resumes: it continues in the folder of the `last.ckpt`.

    Args:
        root: `default_root_dir` of the new run.
        path: checkpoint to resume from; for another file than the `last.ckpt` of a run in `root` there is no logger.
    """
    run_of_path = Path(path).resolve().parent.parent
    logger = TensorBoardLogger(root)
    if not Path(path).name.startswith("last") or Path(logger.root_dir).resolve() != run_of_path.parent:
        return None
    return TensorBoardLogger(root, version=run_of_path.name)


def benchmarks_among(callbacks: Sequence[pl.Callback]) -> list[BenchmarkCallback]:
    """Return the benchmarks of a run, in order."""
    return [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]


def _as_list(value: Any) -> list[Any]:
    """Return a list as it is, None as an empty list, and any other value in a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


# The lines after a run


def closing_lines(trainer: pl.Trainer, flags: Any) -> list[str]:
    """Return the closing lines: scores, page of the last result, and the next command or else the checkpoint.

    Scores of benchmarks are in per cent; without a benchmark the lines have the method's `val/…` values.

    Args:
        trainer: trainer of the run that has ended.
        flags: the configuration of the run.
    """
    lines: list[str] = []
    fits = trainer.state.fn == "fit"
    benchmarks = benchmarks_among(trainer.callbacks)  # type: ignore[attr-defined]
    for benchmark in benchmarks:
        if fits:
            lines += _change_of(benchmark)
    if not benchmarks:
        for key, value in trainer.callback_metrics.items():
            if key.startswith("val/"):
                lines.append(f"{key} {float(value):.4f}")
    folders = [benchmark.folder for benchmark in benchmarks if benchmark.folder is not None]
    if folders:
        lines.append(f"report: {folders[-1] / 'report.html'}")
    paths = [getattr(callback, "best_model_path", "") for callback in trainer.checkpoint_callbacks]
    saved = list(filter(None, paths))  # `LastCheckpoint` comes after those that keep the best
    if fits and saved:
        command = next_command(trainer, flags, saved[0])
        lines.append(f"checkpoint: {saved[0]}" if command is None else f"next: {command}")
    return lines


def _change_of(benchmark: BenchmarkCallback) -> list[str]:
    """Return a line with the first and the last score of a training; empty after a single run."""
    history = benchmark.history
    if len(history) < 2:
        return []
    first = min(history)
    last = max(history)
    for key in history[last]:
        if key in history[first]:
            before = f"{100 * history[first][key]:.1f} % at step {first}"
            after = f"{100 * history[last][key]:.1f} % at step {last}"
            return [f"{key} {before}, {after}"]
    return []  # a benchmark without annotations has no scores


def resume_command(args: Sequence[str], checkpoint: str) -> str:
    """Return a run's command line, with a checkpoint to resume from."""
    words = [word for word in _joined(args) if not word.startswith("--ckpt_path=")]
    return shlex.join(["vidcorr", *words, "--ckpt_path", checkpoint])


def next_command(trainer: pl.Trainer, flags: Any, checkpoint: str) -> str | None:
    """Return the command that measures a checkpoint by the benchmarks of `--on`, of the run's config, or of the method.

    FOLDER stands for the data of a run without benchmarks. None if no benchmark suits the method, or the checkpoint of
    a foreign module names no class.
    """
    model = trainer.lightning_module
    if not isinstance(model, SavedModule):
        return None
    words = ["vidcorr", "validate", "--ckpt_path", checkpoint]
    if flags.on:
        for name in ("on", "protocol", "change", "stage", "stride"):
            if flags[name]:
                words += [f"--{name}", *map(str, flags[name])]
        if flags.limit:
            words += ["--limit", str(flags.limit)]
    elif benchmarks_among(trainer.callbacks):  # type: ignore[attr-defined]
        words += ["--config", str(run_folder(trainer) / "config.yaml")]
    elif isinstance(model, CorrespondenceModule) and model.suited_benchmark:
        words += ["--on", f"{model.suited_benchmark}=FOLDER"]
    else:
        return None
    for name in outside_code({"class_path": import_path(type(model)), "init_args": dict(model.hparams)}):
        words += ["--allow", name]
    return shlex.join(words)


if __name__ == "__main__":
    main()
