"""`fit` and `validate`: LightningCLI with this project's defaults, `--on`, `--allow` and short names."""

import logging
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.model_helpers import is_overridden

from vidcorr import signals
from vidcorr.backbones.names import SHORT_NAMES
from vidcorr.backbones.trust import allow_named
from vidcorr.errors import UsageError, explain
from vidcorr.experiments.command_line import own_flags, read_command_line
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

from .checkpoints import LastCheckpoint
from .class_words import class_words, config_words, flag_words, resumed
from .closing_lines import benchmarks_among, resume_command, summary
from .monitors import Throughput
from .run_folder import continued_logger, missing_folders, remove_unused, run_folder
from .stops import Stops

HOMES = ("lightning_modules", "datamodules", "callbacks", "vidcorr")
"""Packages whose public classes a command line names without a path."""
MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Data type → Lightning's precision."""
DEFAULTS = {"default_root_dir": "runs", "enable_model_summary": False}
"""Defaults of the Trainer."""
LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "num_nodes": 1,
    "num_sanity_val_steps": -1,
}
"""Argument of the Trainer → its smallest value, for arguments that Lightning does not check."""
NOISE = (
    "isinstance.treespec, LeafSpec|does not have many workers|is smaller than the logging interval"
    "|args parameter is intended to run from within Python|module.s. in eval mode at the start of training"
    "|callbacks used to create the checkpoint need to be provided|exists and is not empty"
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
            handler.addFilter(_is_of_interest)
    import_classes()
    if {"-h", "--help"} & {*args}:
        print(own_flags(args[0]).format_help())
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
        ValueError: for an argument that Lightning refuses.
    """
    _require_ranges(kwargs)
    if precision == "auto":
        asks_for_gpu = accelerator in ("auto", "gpu", "cuda")  # without a GPU, Lightning refuses "gpu" and "cuda"
        device = gpu_or_cpu().type if asks_for_gpu else str(accelerator)
        chosen, reason = fastest_precision(device)
        precision = MIXED[chosen]
        rank_zero_info(f"precision auto: {precision} ({reason})")
    try:
        return pl.Trainer(accelerator=accelerator, precision=precision, **kwargs)  # type: ignore[arg-type]
    except (
        TypeError,
        AssertionError,
        IndexError,
        ModuleNotFoundError,
        RuntimeError,
    ) as error:  # Lightning checks some by their use
        raise ValueError(f"trainer: {' '.join(str(error).split())}") from error


def _require_ranges(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of the Trainer that fail by their use, or would do nothing.

    Raises:
        ValueError: with the argument and its range.
    """
    for name, least in LEAST.items():
        value = arguments.get(name)
        if isinstance(value, int | float) and value < least:
            raise ValueError(f"trainer.{name} must be at least {least}, got {value}")
    for name in ("max_epochs", "max_steps"):
        if arguments.get(name) == 0:
            raise ValueError(f"trainer.{name} is 0, with which nothing is trained; set it to 1 or more")
    interval = arguments.get("val_check_interval")
    if isinstance(interval, int | float) and interval <= 0:
        raise ValueError(f"trainer.val_check_interval must be above 0, got {interval}")


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
        folder = run_folder(trainer)  # called on every rank, because ranks get the folder from the first
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
        self.args = args
        self.command = args[0]
        self.parsers: list[LightningArgumentParser] = []
        options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        files: list[tuple[Path, Any]] = []
        try:
            self.line = read_command_line(args)
            files = self.line.configs
            allow_named([args, self.line.options])
            super().__init__(
                pl.LightningModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                trainer_class=make_trainer,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                trainer_defaults={"callbacks": Stops(), **DEFAULTS},
                save_config_callback=SaveConfig,
                parser_kwargs=options | {name: dict(options) for name in self.subcommands()},
                args=[self.command, *self.words()],
            )
        except ArgumentError as error:
            parsers = dict(zip(self.subcommands(), self.parsers, strict=False))
            known = list(vars(own_flags(self.command).parse_args([])))
            if parsers:
                known += parsers[self.command].get_defaults(skip_validation=True).keys()
            classes = list(SHORT_NAMES)
            for package in map(import_module, HOMES):
                classes += package.__all__
            raise UsageError(explain(str(error), args, known, classes, files)) from error

    def words(self) -> list[str]:
        """Return the words for LightningCLI: of the checkpoint, configs, classes, flags, benchmarks of `--on`."""
        line = self.line
        before, after = resumed(line)
        classes = class_words("model", line.given.model) + class_words("data", line.given.data)
        configs = config_words(line.configs)
        return [*before, *configs, *flag_words([*classes, *line.flags]), *line.benchmark_words, *after]

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands with the arguments of the Trainer's methods that they leave out."""
        left_out = {"verbose", "weights_only"}
        every = LightningCLI.subcommands()
        return {name: every[name] | left_out for name in ("fit", "validate")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keep the parser of each command, whose options an error message may suggest."""
        self.parsers.append(parser)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `resumed` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Seed data and model too, unless they set a seed."""
        self.config = plain_words(self.config)
        config = self.config[self.command]
        for section in ("model", "data"):
            arguments = (config.get(section) or {}).get("init_args") or {}
            if "seed" in arguments and self.line.value(f"{section}.seed") is None:
                arguments["seed"] = int(config.seed_everything)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the default callbacks, unless the configuration names a callback of the same kind.

        A run that resumes with Lightning's default logger continues in its folder.
        """
        trainer = self.config_init[self.command].trainer
        fits = self.command == "fit"
        has_batches = fits or self.datamodule is not None
        given = trainer.callbacks or []
        callbacks = list(given) if isinstance(given, list) else [given]
        measures = has_batches and trainer.limit_val_batches != 0
        if self.command == "validate" and not measures and not benchmarks_among(callbacks):
            raise ValueError("nothing to measure: add --on davis=FOLDER, or another benchmark")
        defaults: dict[type[pl.Callback], type[pl.Callback]] = {}  # kind → the callback that is added
        is_equipped = not trainer.barebones  # with barebones, Lightning takes neither logger nor checkpoints nor a bar
        trains = fits and is_equipped
        if trains and trainer.logger is not False:
            defaults[LearningRateMonitor] = LearningRateMonitor
        if trains and trainer.enable_checkpointing is not False:
            defaults[LastCheckpoint] = LastCheckpoint
        if trains:
            defaults[Throughput] = Throughput
        if is_equipped and trainer.enable_progress_bar is not False and has_batches:
            defaults[ProgressBar] = TQDMProgressBar
        for kind, added in defaults.items():
            if not any(isinstance(callback, kind) for callback in callbacks):
                callbacks.append(added())
        if "spawn" in str(trainer.strategy):
            raise ValueError(f"trainer.strategy {trainer.strategy}: copies of callbacks fail; use ddp or ddp_fork")
        path = self.config[self.command].ckpt_path
        if trains and path and trainer.logger in (None, True):
            kwargs["logger"] = continued_logger(trainer.default_root_dir, path)
        if not has_batches:  # benchmarks show their progress themselves
            kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def before_fit(self) -> None:
        """Refuse a training without data, and benchmarks of features that the model lacks."""
        if self.datamodule is None and not is_overridden("train_dataloader", self.model, pl.LightningModule):
            raise ValueError("fit needs data: add a file such as --config data/synthetic.yaml, or --data CLASS")
        for callback in benchmarks_among(self.trainer.callbacks):  # type: ignore[attr-defined]
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
        new_folders = missing_folders(self._own_folder())
        try:
            yield
        except BaseException:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            saved = [callback.best_model_path for callback in callbacks if isinstance(callback, LastCheckpoint)]
            paths = list(filter(None, saved))
            if paths:
                rank_zero_info(f"resume: {resume_command(self.args, paths[0])}")
            elif self.trainer.is_global_zero and self.trainer.global_step == 0:
                remove_unused(new_folders)
            raise

    def _own_folder(self) -> Path:
        """Return the folder that the run makes: its logger's, or without a logger its checkpoints'."""
        logger = self.trainer.logger
        if logger is None:
            return Path(self.trainer.default_root_dir, "checkpoints")
        return Path(getattr(logger, "log_dir", None) or self.trainer.default_root_dir)

    def after_fit(self) -> None:
        """Print the closing lines."""
        lines = summary(self.trainer, self.line)
        if self.trainer.is_global_zero and lines:
            print(*lines, sep="\n")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    after_validate = after_fit
