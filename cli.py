"""`fit`, `validate` and `test` by LightningCLI, with benchmarks by `--on`; `vidcorr.commands` runs the others."""

import json
import logging
import os
import re
import shlex
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import ActionConfigFile, class_from_function
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

import vidcorr
from vidcorr.backbones.networks import SHORT_NAMES
from vidcorr.callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint, Stops, Throughput
from vidcorr.callbacks.benchmark import benchmarks_among
from vidcorr.callbacks.checkpoint_files import faults_of_state
from vidcorr.callbacks.checkpoints import best_of_run, last_checkpoints
from vidcorr.callbacks.run_start import RunStart
from vidcorr.commands import COMMANDS, line_of_warning, main, start_collector
from vidcorr.datamodules import VideoDataModule
from vidcorr.datasets.layout import layout_of
from vidcorr.errors import UsageError, message_of
from vidcorr.experiments.runs.config_files import as_list, find_config, read_yaml
from vidcorr.experiments.runs.flags import names_of
from vidcorr.experiments.runs.runs import ROOT, Run, RunFolder
from vidcorr.experiments.runs.words import PARTS, root_of, words_for_parser
from vidcorr.functional.device import fastest_precision, gpu_or_cpu
from vidcorr.lightning_modules.parts.saving import SavedModule
from vidcorr.loops import has_reached_its_length
from vidcorr.near_names import did_you_mean
from vidcorr.videos.addresses import is_address
from vidcorr.videos.files import full_disk_at, user_path

__all__ = ["VidcorrCLI", "main"]
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided|exists and is not empty"
    "|JsonargparseDeprecationWarning|was deprecated in v4"
)
"""Warnings of Lightning, and of its calls of jsonargparse, without use on the command line."""
UNKNOWN = re.compile(r"dot import path string: (?P<name>[^\s;]+)|(arguments: --|accept option ')(?P<flag>[\w.]+)")
"""Name of a class, or a flag, in the parser's messages."""
LOADERS = {"validate": "val_dataloader", "test": "test_dataloader"}


# The parser


class NamedConfig(ActionConfigFile):
    """`--config`: a file, a config of the project by its name, or its content in JSON.

    If it names another class for model or data, the earlier class's arguments are dropped: jsonargparse would keep
    those that both classes have.
    """

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read a config; UsageError for one that is not found or has another form."""
        path = None if values.startswith("{") else find_config(values)
        content = json.loads(values) if path is None else read_yaml(path)
        # YAML 1.1 reads the key `on` as true
        if not content.keys().isdisjoint((True, "on")):
            raise UsageError(f"{path}: on is a flag, --on davis=FOLDER; in a config it is a callback (--print_config)")
        if not isinstance(content.get("trainer") or {}, dict):
            raise UsageError(f"{path}: trainer is {content['trainer']}; write trainer: {{max_steps: 9}}")
        for part in PARTS:
            if is_other_class(cfg.get(part), content.get(part)):
                cfg[part] = None
        super().__call__(parser, cfg, values if path is None else str(path), option_string)


def is_other_class(before: Any, now: Any) -> bool:
    """Return True if a config replaces the class of a part by a class that does not derive from the earlier class.

    Then the arguments for the earlier class are dropped. A subclass takes these arguments too.
    """
    name = now.get("class_path") if isinstance(now, dict) else now
    if before is None or not isinstance(name, str):
        return False
    earlier = resolve_name(before.class_path)
    try:
        named = resolve_name(name) if "." in name else getattr(vidcorr, name)
    except (ImportError, AttributeError, ValueError):
        return name != earlier.__name__
    return not (isinstance(named, type) and issubclass(named, earlier))


# Trainer and config


def make_trainer(*, precision: str | int | None = None, **kwargs: Any) -> pl.Trainer:
    """Return Lightning's Trainer."""
    return pl.Trainer(precision=precision, **kwargs)  # type: ignore[arg-type]


# Made once: a parser that is given the function makes this class each time, and searches all files of the stack.
TRAINER = class_from_function(make_trainer)


def precision_for(accelerator: Any) -> str:
    """Return Lightning's name of the fastest precision of an accelerator, a name or a configuration with its class."""
    kind = accelerator if isinstance(accelerator, str) else resolve_name(accelerator.class_path).name()
    # without a GPU, Lightning refuses "gpu" and "cuda"
    asks_for_gpu = kind in ("auto", "gpu", "cuda")
    chosen, reason = fastest_precision(gpu_or_cpu().type if asks_for_gpu else kind)
    rank_zero_info(f"precision auto: {MIXED[chosen]} ({reason})")
    return MIXED[chosen]


def last_of_each_name(callbacks: Sequence[Any], moves: bool) -> list[Any]:
    """Return configured callbacks, with one benchmark of a name: the last, because the user's flags come last."""
    by_name: dict[Any, Any] = {}
    for number, callback in enumerate(callbacks):
        benchmark: Any = callback.init_args.benchmark if is_benchmark(callback) else None
        name = benchmark and (benchmark.init_args.get("name") or resolve_name(benchmark.class_path).name)
        if moves and name in by_name:
            arguments = by_name[name].init_args.benchmark.init_args
            before = arguments.root
            for each, value in arguments.items():
                if isinstance(value, str) and value.startswith(before):
                    arguments[each] = benchmark.init_args.root + value.removeprefix(before)
        else:
            by_name[name or number] = callback
    return list(by_name.values())


def is_benchmark(callback: Any) -> bool:
    """Return True for the configuration of a benchmark's callback."""
    return str(callback.class_path).endswith("BenchmarkCallback")


RANKS = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "JSM_NAMESPACE_RANK")
"""Variables by which launchers tell a process its place; `RANK` alone tells all of it."""


def is_first_rank() -> bool:
    """Return True if this process is the first rank; it is asked before a Trainer exists.

    In an interactive job of SLURM each task is a run of its own, as in Lightning, and so a first rank.
    """
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    # the first rank has 0 in each variable that is set, such as node and place on the node; `detect` is False in an
    # interactive job
    names = (*RANKS, "SLURM_PROCID") if SLURMEnvironment.detect() else RANKS
    return all(os.environ.get(name, "0") == "0" for name in names)


def quieten_lightning() -> None:
    """Hide Lightning's warnings and tips that are of no use on the command line; print others as commands do."""
    warnings.filterwarnings("ignore", f"(?s).*({NOISE})")
    warnings.formatwarning = line_of_warning
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )


def has_no_videos(config: Any) -> bool:
    """Return True if the data of a configuration are a `VideoDataModule` without a source of videos."""
    data = config.get("data")
    return bool(data) and resolve_name(data.class_path) is VideoDataModule and data.init_args.source == ""


def needs_no_data(config: Any, loader: str) -> bool:
    """Return True if data have nothing to measure, or lie elsewhere while benchmarks measure, which is printed."""
    kind = resolve_name(config.data.class_path)
    if has_no_videos(config) or getattr(kind, loader) is getattr(pl.LightningDataModule, loader):
        return True
    given = config.data.init_args.as_dict()
    places = [str(place) for name in ("source", "root") for place in as_list(given.get(name) or [])]
    absent = [place for place in places if not (is_address(place) or user_path(place).exists())]
    only_benchmarks = bool(absent) and any(map(is_benchmark, config.trainer.callbacks))
    if only_benchmarks:
        rank_zero_info(f"{absent[0]}: there is no such file or folder: benchmarks alone are run")
    return only_benchmarks


class VidcorrCLI(LightningCLI):
    """LightningCLI with benchmarks by `--on`, configs and networks by name, and runs that go on.

    It changes the process: Lightning's rank and printed lines, and how YAML writes an Enum.

    Args:
        args: command and arguments.
        earlier: the earlier run to go on with; None: a new run, unless `--ckpt_path last` or a requeued job of SLURM
            finds an earlier run.
        more: arguments that the user adds to the configuration of an earlier run.

    Raises:
        UsageError: if the arguments cannot be understood.
        SystemExit: with status 0, if the run to go on with has already ended.
    """

    def __init__(self, args: Sequence[str], earlier: RunFolder | None = None, more: Sequence[str] = ()) -> None:
        # the commands turn Python's garbage collector off for the imports
        start_collector()
        quieten_lightning()
        yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))
        # the first rank logs: in an interactive job of SLURM, Lightning would take this task for another rank
        if is_first_rank():
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        for name in dir(vidcorr):
            # the parser finds only imported classes by their names
            getattr(vidcorr, name)
        self.command = args[0]
        # `run.json` of a run that goes on keeps its arguments and, once, those that were added
        recorded = list(earlier.record.words if earlier else args)
        added = [] if earlier and recorded[-len(more) :] == list(more) else more
        self.run = Run([*recorded, *added], earlier, say=rank_zero_info)
        requeued = self.run.go_on_if_requeued(root_of(args))
        # by the configuration of its run, whatever the YAML files of its command are now
        if requeued is not None:
            args = [self.command, *requeued.words("last")]
        self.arguments = words_for_parser([*args, *more])
        # of all parsers: a mistake raises an error, which gets a remedy below; a flag is written in full
        options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        try:
            super().__init__(
                pl.LightningModule,
                subclass_mode_model=True,
                trainer_class=TRAINER,
                seed_everything_default=0,
                trainer_defaults={"callbacks": Stops(), "default_root_dir": ROOT, "enable_model_summary": False},
                save_config_callback=None,
                parser_kwargs=options | {name: dict(options) for name in self.subcommands()},
                args=self.arguments.words,
            )
        except ArgumentError as error:
            message = message_of(error)
            raise UsageError(message + remedy_for(message, self.command_parser)) from error

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # the parser of one command is enough
        """Return this command alone → names of the arguments of Lightning's method that become no flags."""
        return {self.command: LightningCLI.subcommands()[self.command] | {"verbose", "weights_only"}}

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        """Return a parser whose `--config` takes configs by name."""
        parser: LightningArgumentParser = self.parser_class(**options)
        parser.add_argument("-c", "--config", action=NamedConfig, help="file, or config of the project by its name")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keep the parser of the command for `RunStart`."""
        self.command_parser = parser

    def _parse_ckpt_path(self) -> None:
        """Do nothing: the checkpoint's arguments stand before the user's; by LightningCLI they would win."""

    def before_instantiate_classes(self) -> None:
        """Drop data that the command cannot or need not read, let `validate` measure, and choose the checkpoint."""
        config = self.config[self.command]
        trainer = config.trainer
        trainer.callbacks = last_of_each_name(as_list(trainer.callbacks or []), self.arguments.names_data_alone)
        if trainer.precision == "auto":
            trainer.precision = precision_for(trainer.accelerator)
        if self.command == "fit":
            own_loader = resolve_name(config.model.class_path).train_dataloader
            if has_no_videos(config) and own_loader is not pl.LightningModule.train_dataloader:
                # the model has loaders of its own; the `data` of a method's config describe clips, and name no videos
                config.data = None
        else:
            # the config of a training without validations sets 0, by which Lightning would measure nothing here
            trainer.limit_val_batches = trainer.limit_val_batches or None
            if config.get("data") and needs_no_data(config, LOADERS[self.command]):
                # Lightning would refuse the data, even if only benchmarks are measured
                config.data = None
        config.ckpt_path = self.run.choose_checkpoint(config)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Make the folder of the run, and the Trainer with benchmarks of `--on` and default callbacks.

        The default logger writes into the folder of the run; a configured logger writes where its arguments say.
        `self.config` holds the parsed arguments as plain values, which config.yaml saves; `self.config_init` holds the
        objects built from them.
        """
        trainer = self.config_init[self.command].trainer
        require_ranks_as_commands(str(trainer.strategy))
        callbacks = list(trainer.callbacks)
        if not trainer.barebones:
            callbacks += self._default_callbacks(trainer.callbacks)
        if not trainer.fast_dev_run:
            kwargs |= self._make_run_folder(trainer)
            callbacks.insert(0, RunStart(self.command_parser, self.config[self.command], self.run))
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def _make_run_folder(self, trainer: Any) -> dict[str, Any]:
        """Make the folder of the run, and return the Trainer's arguments that name it; on other ranks do nothing."""
        # other ranks learn the folder by broadcast (`run_folder`)
        if not is_first_rank():
            return {}
        folder = self.run.make_folder(user_path(trainer.default_root_dir))
        arguments: dict[str, Any] = {"default_root_dir": folder}
        if trainer.logger in (None, True) and not trainer.barebones:
            # without name and version: the run folder itself holds the events, and the bar shows no "on_0" of a version
            arguments["logger"] = TensorBoardLogger(folder, "", "")
        return arguments

    def _default_callbacks(self, given: Sequence[pl.Callback]) -> list[pl.Callback]:
        """Return the default callbacks of the command, without those of whose class the user has given one."""
        trainer = self.config_init[self.command].trainer
        fits = self.command == "fit"
        saves = fits and trainer.enable_checkpointing is not False
        is_wanted: dict[type[pl.Callback], bool] = {
            BestCheckpoint: saves and any(isinstance(callback, BenchmarkCallback) for callback in given),
            Throughput: fits,
            LearningRateMonitor: fits and trainer.logger is not False,
            LastCheckpoint: saves,
            ProgressBar: trainer.enable_progress_bar is not False,
        }
        absent = [kind for kind in is_wanted if not any(isinstance(callback, kind) for callback in given)]
        return [TQDMProgressBar() if kind is ProgressBar else kind() for kind in absent if is_wanted[kind]]

    def fit(self, **options: Any) -> None:
        """Train, and note the end of the run."""
        self._run_in_folder(self.trainer.fit, **options)

    def validate(self, **options: Any) -> None:
        """Validate; Lightning's table of scores is printed only without benchmarks, which print their own."""
        self._measure(self.trainer.validate, **options)

    def test(self, **options: Any) -> None:
        """Test, as `validate`."""
        self._measure(self.trainer.test, **options)

    def _measure(self, method: Callable[..., object], **options: Any) -> None:
        self._run_in_folder(method, verbose=not benchmarks_among(self.trainer), **options)
        results = [benchmark.result for benchmark in benchmarks_among(self.trainer)]
        # a model of the user may print or write what it measures, without logging it
        if isinstance(self.model, SavedModule) and not (any(results) or self.trainer.logged_metrics):
            remedy = "name a benchmark, --on davis=/data/DAVIS, or videos to hold out, --data.source FOLDER"
            raise ValueError(f"{self.command}: nothing was measured: {remedy}")

    def _run_in_folder(self, method: Callable[..., object], **options: Any) -> None:
        """Run a method of the Trainer, and note the end of the run in its folder.

        After a stop or an error, the command that resumes is printed. The new folder of a run that never began is
        removed.
        """
        trainer: Any = self.trainer
        folder = self.run.folder or Path(trainer.default_root_dir)
        try:
            # errors of one line: for a full disk; for a damaged state of a checkpoint
            with full_disk_at(folder), faults_of_state(trainer):
                method(**options)
        except BaseException:
            if self.run.folder is not None and any(saver.last_model_path for saver in last_checkpoints(trainer)):
                rank_zero_info(f"resume: {shlex.join(['vidcorr', 'resume', str(self.run.folder)])}")
            self.run.remove_refused()
            raise
        if trainer.state.fn != "fit" or has_reached_its_length(trainer):
            self.run.end(best_of_run(trainer))
        self.run.remove_refused()
        if self.run.folder is not None:
            self._print_end(self.run.folder)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # a thread of gloo that releases a tensor of the last broadcast while Python ends would abort the process
            torch.distributed.destroy_process_group()

    def _print_end(self, folder: Path) -> None:
        """Print the last report; after a training its checkpoint, unless benchmarks name it, and the next command."""
        benchmarks = benchmarks_among(self.trainer)
        pages = [benchmark.folder / "report.html" for benchmark in benchmarks if benchmark.folder is not None]
        if pages:
            print(f"report: {pages[-1]}")
        saved = best_of_run(self.trainer)
        validates = type(self.model).validation_step is not pl.LightningModule.validation_step
        if saved and not (validates and benchmarks):
            print(f"checkpoint: {saved}")
        if saved and validates:
            # the folder tells `validate` the checkpoint and the run's benchmarks; without any, a flag must name one
            further = [] if benchmarks else getattr(self.model, "measured_by", SavedModule.measured_by).split()
            print("next:", shlex.join(["vidcorr", "validate", str(folder), *further]))


def require_ranks_as_commands(strategy: str) -> None:
    """Raise ValueError for a strategy that forks threads, which hang, or spawns ranks without their arguments."""
    forks = "fork" in strategy or "notebook" in strategy
    if "spawn" in strategy or (forks and torch.get_num_threads() > 1):
        raise ValueError(f"trainer.strategy {strategy}: a command starts its ranks as commands; use ddp")


def remedy_for(message: str, parser: LightningArgumentParser) -> str:
    """Return the end of the parser's error message: what to name, or the names that may be meant; "" for none."""
    # a user's class derives from `lightning`, whose classes are not those of `pytorch_lightning`
    if "does not correspond to a subclass" in message and "lightning.pytorch" in sys.modules:
        return "; classes of `import lightning` are others: write `import pytorch_lightning as pl`"
    if "required" in message and "model" in message:
        return "; name a method, --model VFSSimSiam, or its config, --config vfs_simsiam_r18.yaml"
    unknown = UNKNOWN.search(message)
    if unknown is None:
        return ""
    if "/" in (unknown["name"] or ""):
        folder = user_path(unknown["name"])
        layout = layout_of(folder) if folder.is_dir() else ""
        return f"; it holds {layout}" if layout else "; a folder of videos is --data.source FOLDER"
    if unknown["flag"]:
        return did_you_mean(unknown["flag"], ["--config", *names_of(parser), *names_of(COMMANDS[0].parser())])
    classes = [name for package in (vidcorr, pl.callbacks, pl.loggers) for name in dir(package) if name[0].isupper()]
    return did_you_mean(unknown["name"], [*SHORT_NAMES, *classes])


if __name__ == "__main__":
    # this folder would hide a user's `callbacks`
    sys.path[0] = str(Path(__file__).resolve().parent / "src")
    main()
