"""`fit`, `validate` and `predict`: LightningCLI with this project's defaults, `--on`, `--allow` and short names."""

import logging
import shlex
import time
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import set_parsing_settings
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.model_helpers import is_overridden

from lightning_modules.base import CorrespondenceModule
from vidcorr import signals
from vidcorr.backbones.checkpoints import saved_model
from vidcorr.backbones.networks import SHORT_NAMES
from vidcorr.backbones.trust import outside_code, reconcile
from vidcorr.benchmarks.base import Benchmark
from vidcorr.errors import UsageError, explain
from vidcorr.experiments.configured import CONFIGS, FLAGS, LIMIT
from vidcorr.functional.device import fastest_precision, gpu_or_cpu

from .arguments import arrange, from_checkpoint
from .benchmark import BenchmarkCallback, callbacks_on
from .best_checkpoint import BestCheckpoint
from .last_checkpoint import LastCheckpoint
from .loggers import run_folder
from .monitors import RunProgress, Throughput
from .run_folder import continued_logger, remove_unused, run_summary
from .safeguards import Safeguards

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


def run(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `predict`.

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
    set_parsing_settings(add_print_completion_argument=True)
    with signals.handled():
        VidcorrCLI(args)


def import_classes() -> None:
    """Import all public classes: the parser finds by name what is imported."""
    for package in map(import_module, HOMES):
        for name in package.__all__:
            getattr(package, name)


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Return whether a message is one of ours, or a warning: Lightning tells of absent devices and of its products."""
    by_lightning = {"pytorch_lightning", "lightning_fabric"} & {*Path(record.pathname).parts}
    return record.levelno > logging.INFO or not by_lightning


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
        self.args, self.command, self.began = args, args[0], time.time()
        self.parsers: list[LightningArgumentParser] = []
        configs, flags, self.given = arrange(args[1:], ["predict.yaml"] if self.command == "predict" else [])
        before, after = from_checkpoint(self.command, self.given)
        options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        try:
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
            parser = dict(zip(self.subcommands(), self.parsers, strict=True))[self.command]
            known = parser.get_defaults(skip_validation=True).keys()
            classes = [*SHORT_NAMES, *(name for home in HOMES for name in import_module(home).__all__)]
            files = [Path(word.partition("=")[2]) for word in configs]
            raise UsageError(explain(str(error), known, classes, files)) from error

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands with the arguments of the Trainer's methods that they leave out; no `test`."""
        left_out = {"verbose", "weights_only", "return_predictions"}
        return {name: skipped | left_out for name, skipped in LightningCLI.subcommands().items() if name != "test"}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the words that LightningCLI does not have; it calls this for the parser of each command."""
        self.parsers.append(parser)
        for name, (metavar, about) in FLAGS.items():
            parser.add_argument(f"--{name}", nargs="+", default=[], metavar=metavar, help=about)
        parser.add_argument("--limit", type=int | None, default=None, help=LIMIT)
        about = "code outside vidcorr that checkpoints may name: package.module.Class or package.module:callable"
        parser.add_argument("--allow", action="append", default=[], help=about)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it is: `from_checkpoint` has read the checkpoint, and its values come first."""

    def before_instantiate_classes(self) -> None:
        """Seed data and model too, unless they set a seed; name the checkpoint's encoder by its recipe."""
        config = self.config[self.command]
        for section in ("model", "data"):
            arguments = (config.get(section) or {}).get("init_args") or {}
            if "seed" in arguments and f"{section}.seed" not in dict(self.given):
                arguments["seed"] = int(config.seed_everything)
        path = config.get("ckpt_path")
        if path is not None and (saved := saved_model(path)) is not None:
            reconcile(saved, config.model, path)

    def instantiate_classes(self) -> None:
        """Make the benchmarks of `--on` before all else, since a missing folder is known at once."""
        self.on = [] if self.command == "predict" else callbacks_on(self.config[self.command])
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
        if self.command == "validate" and not has_batches and not _benchmarks_of(callbacks):
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
        has_data = self.datamodule is not None or is_overridden("train_dataloader", self.model, pl.LightningModule)
        if not has_data:
            raise ValueError("fit needs data: add a file such as --config data/synthetic.yaml, or --data CLASS")
        for benchmark in _benchmarks_of(self.trainer.callbacks):  # type: ignore[attr-defined]
            benchmark.extractor(self.model)  # before data are generated or read

    def fit(self, **options: Any) -> None:
        """Train."""
        with self.interruptible():
            self.trainer.fit(**options)

    def validate(self, **options: Any) -> None:
        """Validate without Lightning's table: benchmarks print their scores."""
        with self.interruptible():
            self.trainer.validate(verbose=False, **options)

    def predict(self, **options: Any) -> None:
        """Predict without keeping features: a callback writes the predictions."""
        with self.interruptible():
            self.trainer.predict(return_predictions=False, **options)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """After a stop or an error, print the command that resumes, and remove the folder of a run without results."""
        try:
            yield
        except BaseException:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            saved = [callback.best_model_path for callback in callbacks if isinstance(callback, LastCheckpoint)]
            if path := next(filter(None, saved), None):
                rank_zero_info(f"resume: {self.resume_command(path)}")
            elif self.trainer.is_global_zero:
                remove_unused(self.trainer, self.began)
            raise

    def after_fit(self) -> None:
        """Print the places of the results, and the next command."""
        lines = run_summary(self.trainer, self.next_command, self.began)  # on every rank: the ranks ask the first
        if self.trainer.is_global_zero:
            print(*lines, sep="\n", end="\n" if lines else "")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A thread of gloo that releases a tensor of the last broadcast while Python ends aborts the process.
            torch.distributed.destroy_process_group()

    after_validate = after_predict = after_fit

    def resume_command(self, checkpoint: str) -> str:
        """Return the run's command line, with a checkpoint to resume from."""
        pairs = zip(["", *self.args], self.args, strict=False)
        words = [word for before, word in pairs if "--ckpt_path" not in (before, word.partition("=")[0])]
        return shlex.join(["vidcorr", *words, "--ckpt_path", checkpoint])

    def next_command(self, checkpoint: str) -> str | None:
        """Return the command that repeats the run's last benchmark with a checkpoint.

        A run without a benchmark gets the benchmark that suits the method. None if no config describes the benchmark.
        """
        config, benchmarks = self.config[self.command], _benchmarks_of(self.trainer.callbacks)  # type: ignore[attr-defined]
        suited = self.model.suited_benchmark if isinstance(self.model, CorrespondenceModule) else "davis"
        flags: dict[str, Any] = {"on": [f"{suited}=FOLDER"]}
        if config.on:
            flags = {name: config[name] for name in (*FLAGS, "limit")}
        elif benchmarks:
            last = benchmarks[-1]
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


def _benchmarks_of(callbacks: Sequence[pl.Callback]) -> list[Benchmark]:
    return [callback.benchmark for callback in callbacks if isinstance(callback, BenchmarkCallback)]
