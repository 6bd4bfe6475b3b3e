"""`fit` and `validate` by LightningCLI, with benchmarks by `--on`; `vidcorr.commands` runs all other commands."""

import json
import os
import shlex
import sys
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import ActionConfigFile, get_loader, set_loader
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, Timer, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info

import callbacks
import datamodules
import lightning_modules
import vidcorr
from callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint, Stops, Throughput
from callbacks.benchmark import benchmarks_among
from callbacks.checkpoints import last_checkpoints
from callbacks.run_folder import claim_folder, give_back, run_folder
from vidcorr.backbones import NamedNetwork
from vidcorr.backbones.checkpoints import SUFFIXES, local_file, on_hub, saved_model
from vidcorr.backbones.names import split_view
from vidcorr.backbones.networks import SHORT_NAMES
from vidcorr.backbones.trust import allow_named, names_outside
from vidcorr.benchmarks.ranks import Ranks
from vidcorr.commands import main
from vidcorr.commands.resume import texts_of
from vidcorr.errors import UsageError, message_of
from vidcorr.experiments.benchmark_choice import add_run_flags, chosen_benchmarks
from vidcorr.experiments.config_files import find_config, read_yaml
from vidcorr.experiments.runs import FILE, ROOT, Run, now, runs_below
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

__all__ = ["VidcorrCLI", "main"]
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided|exists and is not empty"
)
"""Warnings of Lightning without use on the command line."""
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


# Words before the parser


def words_for_parser(command: str, args: Sequence[str]) -> list[str]:
    """Return the words for LightningCLI: a network in place of its name, and first the model of `--ckpt_path`.

    Later words win, so flags change the checkpoint's model, and another class replaces it.

    Args:
        command: `fit` or `validate`.
        args: the words after the command.

    Raises:
        ValueError: for a checkpoint that does not exist or cannot be read.
    """
    allow_named(args)
    first = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--ckpt_path")
    first.add_argument("-c", "--config", action="append", default=[])
    first.add_argument("--trainer.default_root_dir", dest="root")
    given, _ = first.parse_known_args(args)
    words = list(rewritten(args))
    path = given.ckpt_path
    if path == "last" and command == "validate":
        path = _newest_checkpoint(given.root or _root_in(given.config))
    elif path is not None and on_hub(path):
        path = str(local_file(path))
    if path in (None, "last", "null"):  # "null" takes back an earlier word
        return words
    saved = saved_model(path)
    model = [] if saved is None else [f"--config={json.dumps({'model': saved})}"]
    return [*model, *words, f"--ckpt_path={path}"]


def rewritten(args: Sequence[str]) -> Iterator[str]:
    """Yield words: a network after `--model` as the class around it, several values of `--data.source` as a list."""
    rest = list(args)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        values = [value] if equals else list(takewhile(lambda word: not word.startswith("-"), rest))
        if flag == "--model" and values:
            del rest[: 1 - len(equals)]
            yield from _words_of_model(values[0])
        elif flag == "--data.source" and len(values) > 1:
            del rest[: len(values)]
            yield f"{flag}={json.dumps(values)}"
        else:
            yield word


def _words_of_model(value: str) -> list[str]:
    """Return the words for the value of `--model`: a class, or a network as `vidcorr evaluate` takes it."""
    spec, _ = split_view(value)
    is_file = spec.endswith(SUFFIXES) or Path(spec).is_file()
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    if value.startswith("{") or not (is_file or is_named):
        return [f"--model={value}"]
    parts = [f"--model.{name}={part}" for name, part in NamedNetwork(value).arguments().items()]
    return ["--model=FrozenEncoder", *parts]


def _root_in(configs: Sequence[str]) -> str:
    """Return the root of a command's configs, of which a later one counts more."""
    root = ROOT
    for name in configs:
        trainer = read_yaml(find_config(name)).get("trainer") or {}
        root = trainer.get("default_root_dir", root)
    return root


def _newest_checkpoint(root: str) -> str:
    """Return the newest `last.ckpt` of the runs below a folder, and name it.

    Raises:
        ValueError: if there is none.
    """
    found = [run.last_checkpoint(folder) for folder, run in runs_below([root]).items()]
    path = max(filter(None, found), key=lambda path: path.stat().st_mtime_ns, default=None)
    if path is None:
        raise ValueError(f"--ckpt_path last: no last.ckpt below {root}")
    rank_zero_info(f"--ckpt_path last: {path}")
    return str(path)


class NamedConfig(ActionConfigFile):
    """`--config`: a file, a config of the project by its name, or its content as JSON."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read a config; the code that it names is the user's."""
        if not values.startswith("{"):
            path = find_config(values)
            values = str(path)
            allow_named(read_yaml(path))
            if (path.parent / FILE).is_file():
                sys.path.append(Run.read(path.parent).folder)  # finds the run's own modules
        super().__call__(parser, cfg, values, option_string)


def load_yaml(text: str) -> Any:
    """Return the value of a text in YAML as jsonargparse reads it, with the key `on`, which YAML 1.1 reads as true."""
    value = jsonargparse_yaml(text)
    if isinstance(value, dict) and True in value:
        value["on"] = value.pop(True)
    return value


jsonargparse_yaml = get_loader("yaml")
set_loader("yaml", load_yaml, (yaml.YAMLError,))


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
    """Write `config.yaml` and `run.json` into the folder of a run, once the run is no longer refused.

    `config.yaml` of a training has no `ckpt_path`: a training that begins by the file resumes nothing.

    Args:
        parser: the parser of the command.
        config: its configuration.
        run: the run, for `run.json`.
        continued: folder of the run that goes on in it, or None.
        **options: further arguments of Lightning's class.

    Attributes:
        folder: folder of the run once the files are written; None before.

    Raises:
        ValueError: on all ranks, at the start of a run in whose folder another run has begun.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Any,
        run: Run | None = None,
        continued: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(parser, config, **options)
        self.run = run
        self.continued = continued
        self.folder: Path | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write nothing yet: a refused run leaves the files of the run before it."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Write the files before the first batch of a training: all callbacks have accepted it."""
        self._write(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files at the start of `validate`."""
        if trainer.state.fn == "validate":
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        """Write the files once; all ranks call it."""
        if self.already_saved:
            return
        self.already_saved = True
        folder = run_folder(trainer)  # ranks get the folder from the first
        self.folder = folder
        with Ranks() as ranks, ranks.together():  # an error of the first rank ends all
            if trainer.is_global_zero:
                folder.mkdir(parents=True, exist_ok=True)
                if self.run is not None:
                    begin_run(self.run, folder, self.continued, last_checkpoints(trainer))
                config = self.config.clone()
                if trainer.state.fn == "fit":
                    config.ckpt_path = None
                path = folder / self.config_filename
                self.parser.save(config, path, skip_unset=False, overwrite=True, multifile=False)


def begin_run(run: Run, folder: Path, continued: Path | None, savers: Sequence[LastCheckpoint]) -> None:
    """Write `run.json` of a run that begins or goes on in a folder.

    Args:
        run: the run.
        folder: its folder.
        continued: folder of the run that goes on, or None.
        savers: the run's `LastCheckpoint`, whose folder `run.json` states.

    Raises:
        ValueError: if another run has begun in the folder.
    """
    for saver in savers:
        place = Path(str(saver.dirpath))
        if place.is_relative_to(folder.resolve()):
            place = place.relative_to(folder.resolve())  # it stays right where the folder moves
        run = run.model_copy(update={"checkpoints": str(place)})
    if not run.claim(folder):
        earlier = Run.read(folder)
        if earlier.begin != run.begin and folder.resolve() != continued:
            raise ValueError(f"{folder}: another run has begun there: name another folder")
        run = run if earlier.begin == run.begin else run.follows(earlier)
        run.save(folder)


class VidcorrCLI(LightningCLI):
    """LightningCLI with benchmarks by `--on`, configs and networks by name, and runs that go on.

    Args:
        args: command and arguments.
        run: folder of the run that goes on; None: a new run, unless `--ckpt_path last` or a requeued job of SLURM
            finds one.
        more: further arguments.

    Raises:
        UsageError: if the arguments cannot be understood.
        SystemExit: with status 0, if the run to go on with has already ended.
    """

    def __init__(self, args: Sequence[str], run: Path | None = None, more: Sequence[str] = ()) -> None:
        warnings.filterwarnings("ignore", f".*({NOISE})")
        self.command = args[0]
        self.record = Run.now([*args, *more])
        self.run = run
        words = list(args[1:])
        checkpoint = None if run is None else self._resume(run)
        if checkpoint is not None:
            words.append(f"--ckpt_path={checkpoint}")
        words += more
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
            raise UsageError(message_of(error)) from error

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands with the arguments of the Trainer's methods that they leave out."""
        every = LightningCLI.subcommands()
        return {name: every[name] | {"verbose", "weights_only"} for name in ("fit", "validate")}

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        """Return a parser whose `--config` takes configs by name."""
        parser = LightningArgumentParser(**options)
        parser.add_argument("-c", "--config", action=NamedConfig, help="file, or config of the project by its name")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the flags of the benchmarks."""
        add_run_flags(parser)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `words_for_parser` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Leave out data without a source in `validate`; find the run that goes on."""
        config = self.config[self.command]
        if self.command == "validate" and config.get("data") and config.data.get("init_args.source") == "":
            config.data = None  # the file of a method says how clips are made, not of which videos
        config.ckpt_path = self._checkpoint_of_run(config)
        if self.run is not None:
            self.record = self.record.model_copy(update={"resumed": config.ckpt_path})
        self.save_config_kwargs.update(run=self.record, continued=self.run)

    # The run that goes on

    def _checkpoint_of_run(self, config: Any) -> str | None:
        """Return the checkpoint to load, and set `run` if a run goes on."""
        checkpoint: str | None = config.ckpt_path
        fits = self.command == "fit"
        if self.run is None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            for folder, run in self._runs(config).items():  # the newest last
                if run.is_of_job(self.record) and run.repeats(self.record):
                    self.run = folder
            if self.run is not None:  # the words' own checkpoint counts for the first start alone
                checkpoint = self._resume(self.run) or checkpoint
        if checkpoint == "last" and fits:
            checkpoint = self._last_of_equal_run(config)
        elif checkpoint and fits and self.run is None and Path(checkpoint).name.startswith("last"):
            folder = Path(checkpoint).resolve().parent.parent
            root = Path(config.trainer.default_root_dir).expanduser().resolve()
            if (folder / FILE).is_file() and folder.is_relative_to(root):
                self.run = folder
        return checkpoint

    def _runs(self, config: Any) -> dict[Path, Run]:
        """Return the runs below the root, and in the folders of the loggers."""
        given = config.trainer.logger
        loggers = given if isinstance(given, list) else [given]
        folders = [config.trainer.default_root_dir]
        for logger in loggers:
            options = logger.get("init_args", {}) if hasattr(logger, "class_path") else {}
            place = Path(options.get("save_dir") or "")
            if place.resolve() == Path.cwd():  # all of it may hold data
                place /= options.get("project") or options.get("name") or ""
            if place.resolve() != Path.cwd():
                folders.append(place)
        return runs_below(folders)

    def _resume(self, folder: Path) -> str | None:
        """Name the run that goes on, and return its `last.ckpt`, if there is one.

        Raises:
            SystemExit: if the run has ended by these words.
        """
        run = Run.read(folder)
        if run.end and run.words == self.record.words:
            rank_zero_info(f"{folder} has ended, {run.end}; further words make it longer: --trainer.max_epochs N")
            raise SystemExit(0)
        checkpoint = run.last_checkpoint(folder)
        state = "has no last.ckpt and begins again" if checkpoint is None else "goes on"
        rank_zero_info(f"{folder} {state}: {shlex.join(['vidcorr', *self.record.words])}")
        return None if checkpoint is None else str(checkpoint)

    def _last_of_equal_run(self, config: Any) -> str | None:
        """Return the newest `last.ckpt` of a run with this model, data and seed; None, if a new run begins.

        A run of the same command that has saved nothing yet begins again in its folder.
        """
        found: dict[Path, Path] = {}  # checkpoint → folder of its run
        asked = yaml.safe_load(self._parser(self.command).dump(config, skip_unset=False))
        runs = self._runs(config)
        for folder, run in runs.items():
            checkpoint = run.last_checkpoint(folder)
            if checkpoint is None and run.repeats(self.record) and not run.end:
                self.run = folder
            elif checkpoint is not None and _trains_as(folder / "config.yaml", asked):
                found[checkpoint] = folder
        if not found:
            root = config.trainer.default_root_dir
            rank_zero_info(f"--ckpt_path last: no run of this model, data and seed below {root}: starting a new run")
            return None
        checkpoint = max(found, key=lambda path: path.stat().st_mtime_ns)
        self.run = found[checkpoint]
        rank_zero_info(f"--ckpt_path last: {checkpoint}")
        return str(checkpoint)

    # Trainer

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the benchmarks of `--on` and the default callbacks, unless there is a callback of the same kind.

        A run that goes on does so in its folder, unless the configuration names a logger.

        Raises:
            ValueError: for ranks that are forks of a process with threads: on a CPU they stand still.
        """
        trainer = self.config_init[self.command].trainer
        forks = any(word in str(trainer.strategy) for word in ("fork", "notebook"))
        if forks and torch.get_num_threads() > 1:
            raise ValueError(
                f"trainer.strategy {trainer.strategy}: a fork of a process with threads stands still; use ddp"
            )
        given = trainer.callbacks or []
        if not isinstance(given, list):
            given = [given]
        benchmarks = self._chosen_benchmarks()
        logger = trainer.logger
        if logger is False or trainer.barebones:
            kwargs["default_root_dir"] = self.run or Path(trainer.default_root_dir).expanduser()
        elif logger in (None, True) and self.run is not None:
            kwargs["logger"] = TensorBoardLogger(self.run.parent, name="", version=self.run.name)
        fits = self.command == "fit"
        saves = fits and trainer.enable_checkpointing is not False
        is_wanted: dict[type[pl.Callback], bool] = {
            BestCheckpoint: saves and bool(benchmarks),
            Throughput: fits,
            ShortLogInterval: fits and trainer.log_every_n_steps is None,
            LearningRateMonitor: fits and logger is not False,
            LastCheckpoint: saves,
            ProgressBar: trainer.enable_progress_bar is not False,
        }
        added: list[pl.Callback] = []
        for kind, wanted in is_wanted.items():
            has_own = any(isinstance(callback, kind) for callback in given)
            if wanted and not has_own and not trainer.barebones:
                added.append(TQDMProgressBar() if kind is ProgressBar else kind())
        return super().instantiate_trainer(callbacks=[*given, *benchmarks, *added], **kwargs)

    def _chosen_benchmarks(self) -> list[BenchmarkCallback]:
        """Return the callbacks of the benchmarks of `--on`; of two with one NAME the later FOLDER counts."""
        flags = self.config[self.command].clone()
        flags.on = list({text.partition("=")[0]: text for text in flags.on}.values())
        by_flags = {"every_n_epochs": flags.every} if flags.every else {}
        if flags.before:
            by_flags["before_training"] = True
        found = []
        for choice in chosen_benchmarks(flags):
            found.append(BenchmarkCallback(choice.build(), **{**choice.schedule, **by_flags}))
        return found

    # The commands

    @contextmanager
    def _folder_of_its_own(self) -> Iterator[None]:
        """Claim the folder of the run for a block; note there that the run has ended, or give it back if refused."""
        trainer: Any = self.trainer
        claimed = None
        if trainer.is_global_zero and not trainer.fast_dev_run:  # a trial writes nothing
            claimed = claim_folder(trainer, self.record, self.run)
        try:
            yield
        except BaseException:
            if claimed is not None:
                give_back(claimed, self.record)
            raise
        folder = self._folder_begun()
        if folder is not None and trainer.is_global_zero and not _is_out_of_time(trainer):
            Run.read(folder).model_copy(update={"end": now()}).save(folder)

    def _folder_begun(self) -> Path | None:
        """Return the folder of the run, None before it has begun; without the other ranks, which may be lost."""
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        return next((each.folder for each in callbacks if isinstance(each, SaveConfig)), None)

    def fit(self, **options: Any) -> None:
        """Train; after a stop or an error, print the command that resumes."""
        try:
            with self._folder_of_its_own():
                self.trainer.fit(**options)
        except BaseException:
            folder = self._folder_begun()
            if folder is not None and any(saver.best_model_path for saver in last_checkpoints(self.trainer)):
                words = ["vidcorr", "resume", str(folder.resolve())]
                outside = names_outside(texts_of(self.record.words))  # also where the user stands in another folder
                if outside:
                    words += ["--allow", *outside]
                rank_zero_info(f"resume: {shlex.join(words)}")
            raise

    def validate(self, **options: Any) -> None:
        """Validate without Lightning's table where benchmarks print their scores."""
        with self._folder_of_its_own():
            self.trainer.validate(verbose=not benchmarks_among(self.trainer), **options)

    def after_fit(self) -> None:
        """Print the last page of a benchmark, and the command that measures the checkpoint of the run."""
        self._print_report()
        trainer = self.trainer
        paths = [getattr(callback, "best_model_path", "") for callback in trainer.checkpoint_callbacks]
        saved = list(filter(None, paths))  # the best first: `LastCheckpoint` comes after those that keep the best
        config = run_folder(trainer) / "config.yaml"  # it holds the benchmarks; all ranks get the folder from the first
        if trainer.is_global_zero and saved and benchmarks_among(trainer):
            line = shlex.join(["vidcorr", "validate", "--config", str(config.resolve()), "--ckpt_path", saved[0]])
            if any(map(_is_here, texts_of(self.record.words))):
                line = f"cd {shlex.quote(os.getcwd())} && {line}"
            print("next:", line)
        leave_process_group()

    def after_validate(self) -> None:
        """Print the last page of a benchmark."""
        self._print_report()
        leave_process_group()

    def _print_report(self) -> None:
        """Print the page of the last benchmark that has run."""
        folders = [benchmark.folder for benchmark in benchmarks_among(self.trainer) if benchmark.folder is not None]
        if self.trainer.is_global_zero and folders:
            print(f"report: {folders[-1] / 'report.html'}")


def leave_process_group() -> None:
    """Leave the process group of ranks, if there is one.

    A thread of gloo that releases a tensor of the last broadcast while Python ends would abort the process.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _is_here(text: str) -> bool:
    """Return whether a word, or what follows its `=`, is a path that begins in the working directory."""
    paths = (text, text.partition("=")[2])
    return any(os.path.exists(path) and not os.path.isabs(path) for path in paths)


def _is_out_of_time(trainer: Any) -> bool:
    """Return whether `trainer.max_time` has run out, so that a run is to be resumed."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    remaining = [timer.time_remaining() for timer in timers]
    return any(seconds is not None and seconds <= 0 for seconds in remaining)


def _trains_as(path: Path, asked: Mapping[str, Any]) -> bool:
    """Return whether a run's `config.yaml` has the model, data and seed of a configuration; workers may differ."""
    if not path.is_file():
        return False
    content = yaml.safe_load(path.read_text("utf-8"))
    for part in ("model", "data", "seed_everything"):
        ours, theirs = (_without_workers(each.get(part)) for each in (asked, content))
        if ours != theirs:
            return False
    return True


def _without_workers(section: Any) -> Any:
    """Return model, data or seed of a configuration without the number of loader workers, which changes no step."""
    if not isinstance(section, dict) or "init_args" not in section:
        return section
    return section | {"init_args": section["init_args"] | {"num_workers": None}}


if __name__ == "__main__":
    main()
