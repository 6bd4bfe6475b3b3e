"""The callback of a benchmark: when it runs in `fit` and `validate`, where its files and scores go, and its history."""

import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from jsonargparse import Namespace
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.cli import SaveConfigCallback

from datamodules.video import VideoDataModule
from vidcorr.benchmarks.base import Benchmark
from vidcorr.benchmarks.evaluation import BenchmarkError, Ranks
from vidcorr.errors import UsageError
from vidcorr.experiments.configured import FLAGS, protocols_of, read_changes, read_on
from vidcorr.results.result import Evaluated, Network, Result, require_writable
from vidcorr.videos.files import FolderLock

from .loggers import log_picture, log_scores, require_pytorch_lightning, run_folder

OF_A_RUN = ("callbacks", "default_root_dir", "logger", "enable_progress_bar", "enable_model_summary")
"""Arguments of the Trainer that no weights depend on."""
log = logging.getLogger(__name__)

EPOCH_FOLDER = "epoch={:03d}-step={:06d}"
"""Name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""


class BenchmarkCallback(pl.Callback):
    """Runs a benchmark in validation: every few epochs of `fit`, after its last step, and in `validate`.

    An error ends `validate` with its message; `fit` logs it, continues, and names it again at its end. In Lightning's
    `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        benchmark: the benchmark.
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        output_dir: folder of its files; None is `benchmarks/<name>/` in the folder of the run.
        fatal: let an error end `fit` too.

    Attributes:
        result: result of the last run; None before the first.
        history: optimiser step → logged scores, of the successful runs in `fit` or `validate`.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        every_n_epochs: int = 1,
        before_training: bool = False,
        output_dir: str | Path | None = None,
        fatal: bool = False,
    ) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"BenchmarkCallback: every_n_epochs is {every_n_epochs}, it must be at least 1")
        self.benchmark = benchmark
        self.every_n_epochs, self.before_training = every_n_epochs, before_training
        self.output_dir, self.fatal = output_dir, fatal
        self.result: Result | None = None
        self.history: dict[int, dict[str, float]] = {}
        self._epochs: dict[int, int] = {}  # optimiser step → epochs trained, of the runs in `history`
        self._tried: int | None = None  # optimiser step of the last run
        self._failures: list[str] = []
        self._held = ExitStack()  # lock of the folder, until the run ends

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the data set and lock the folder before any training, so that a mistake is reported at once."""
        require_pytorch_lightning(trainer)
        # every rank logs the same scores, so that Lightning's advice to average them over the ranks is idle
        warnings.filterwarnings("ignore", rf"It is recommended to use `self\.log\('{re.escape(self.name)}/")
        if stage == "test":
            raise ValueError(f"{self.name} runs in validation: call trainer.validate in place of trainer.test")
        if stage == "fit":
            self.history, self._epochs, self._tried = {}, {}, None  # an earlier fit of a notebook filled them
            self._failures = []
        if stage in ("fit", "validate"):
            self._check_neighbours(trainer, stage)
            with Ranks() as ranks, ranks.together():
                _ = self.benchmark.sequences
                if self.output_dir is not None and ranks.rank == 0:
                    require_writable(Path(self.output_dir))
                    self._held.enter_context(FolderLock(Path(self.output_dir), "give each run its own output_dir"))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the folder, and repeat the errors of failed runs."""
        self._held.close()
        for failure in self._failures:
            log.error("%s", failure)
        self._failures = []

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Release the folder: after an error Lightning calls no `teardown`."""
        self._held.close()

    def _check_neighbours(self, trainer: pl.Trainer, stage: str) -> None:
        """Raise if other callbacks or the Trainer would make scores wrong or skip them."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        others = [callback for callback in callbacks if callback is not self]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one; give one another name"
            )
        if stage == "validate":
            if trainer.limit_val_batches == 0:
                raise ValueError(f"{self.name} needs a pass of validation: leave trainer.limit_val_batches out")
            return
        if any(isinstance(callback, WeightAveraging) for callback in callbacks[: callbacks.index(self)]):
            raise ValueError(f"{self.name} would score weights before their averaging: name WeightAveraging after it")
        for other in others:
            every_epoch = isinstance(other, EarlyStopping | ModelCheckpoint)
            if every_epoch and self.every_n_epochs > 1 and str(other.monitor).startswith(f"{self.name}/"):
                advice = f"set every_n_epochs of {self.name} to 1"
                if isinstance(other, ModelCheckpoint):
                    advice += ", or use BestCheckpoint in its place"
                raise ValueError(f"{type(other).__name__} checks {self.name} every epoch: {advice}")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the scores so far, for a resumed run."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        state = {"history": dict(self.history), "epochs": dict(self._epochs), "tried": self._tried}
        checkpoint.setdefault("benchmarks", {})[self.name] = state

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of the resumed run."""
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        history = state.get("history", {})
        self.history = {int(step): {str(k): float(v) for k, v in scores.items()} for step, scores in history.items()}
        self._epochs = {int(step): int(epoch) for step, epoch in state.get("epochs", {}).items()}
        self._tried = state.get("tried")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse, before any training, features that the module lacks, and a training on scored videos."""
        _ = self.benchmark.extractor(pl_module)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, VideoDataModule) and not data.include_holdout:
            self.benchmark.refuse_training_on({Path(entry.path).stem for entry in data.videos})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run before training if `before_training` is set; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            log_scores(trainer, self._run(trainer, pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run every `every_n_epochs` epochs, and after the last epoch."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if not trainer.sanity_checking and (trainer.state.fn != "fit" or due):
            pl_module.log_dict(self._run(trainer, pl_module), rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run after the last step if the training ends within an epoch; Lightning logs only within its loops."""
        if self._tried != trainer.global_step:
            log_scores(trainer, self._run(trainer, pl_module))

    def _run(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
        """Run the benchmark, keep its result and scores, and return the scores by their logged keys."""
        fitting, step = trainer.state.fn == "fit", trainer.global_step
        self._tried, epoch = step, epochs_completed(trainer) if step else 0
        benchmark, folder = self._benchmark_and_folder(trainer)
        try:
            if fitting and trainer.world_size > 1:
                share_buffers(pl_module)
            past, at = (self._past(step), (epoch, step)) if fitting else ([], None)
            network, features = _network(trainer, pl_module), benchmark.extractor(pl_module)
            run = benchmark.run(features, network, [benchmark.protocol], folder, shared=True, past=past, at=at)
        except Exception as error:
            if self.fatal or not fitting:
                raise
            unforeseen = not isinstance(error, BenchmarkError)
            log.error("%s failed; the training continues: %s", self.name, error, exc_info=unforeseen)
            self._failures.append(f"{self.name} failed after step {step}: {type(error).__name__}: {error}")
            return {}
        (self.result,) = run.results
        if trainer.is_global_zero:
            for name, picture in run.pictures.items():
                log_picture(trainer, f"{self.name}/{name}", picture)
        self._epochs[step] = epoch
        self.history[step] = {f"{self.name}/{key}": value for key, value in self.result.scores.items()}
        return self.history[step]

    def _benchmark_and_folder(self, trainer: pl.Trainer) -> tuple[Benchmark, Path | None]:
        """Return the benchmark, in a `fast_dev_run` cut to as many sequences as batches, and its folder."""
        if batches := int(trainer.fast_dev_run):  # type: ignore[attr-defined]
            most = min(batches, self.benchmark.limit_sequences or batches)
            return replace(self.benchmark, limit_sequences=most), None
        if self.output_dir is not None:
            return self.benchmark, Path(self.output_dir)
        place = EPOCH_FOLDER.format(trainer.current_epoch, trainer.global_step)
        return self.benchmark, run_folder(trainer) / "benchmarks" / self.name / place

    def _past(self, step: int) -> list[Evaluated]:
        """Return the results before a step, of this training and the run that it resumed."""
        found = []
        for earlier in sorted(self.history.keys() & self._epochs.keys()):
            if earlier < step:
                scores = {key.removeprefix(f"{self.name}/"): value for key, value in self.history[earlier].items()}
                found.append(Evaluated(epoch=self._epochs[earlier], step=earlier, scores=scores))
        return found


def callbacks_on(config: Namespace) -> list[BenchmarkCallback]:
    """Make the benchmarks of `--on`, a callback per benchmark and protocol.

    Raises:
        UsageError: for flags that are not understood, or have no benchmark.
        ValueError: for a missing folder, or an argument that no benchmark takes.
    """
    given = [f"--{name}" for name in (*FLAGS, "limit") if config[name]]
    if given and not config.on:
        raise UsageError(f"{given[0]}: name a benchmark, as --on davis=/data/DAVIS")
    if len(config.stride) > 1:
        raise UsageError("--stride: a single stride here; vidcorr evaluate takes several")
    configured, stages = read_on(config.on), config.stage[0] if len(config.stage) == 1 else config.stage or None
    view = {"stage": stages, "stride": next(map(int, config.stride), None)}
    benchmarks = [each.build(limit_sequences=config.limit, **view) for each in configured]
    protocols = protocols_of(benchmarks, config.protocol, read_changes(config.change))
    callbacks = []
    for each, benchmark, of_benchmark in zip(configured, benchmarks, protocols, strict=True):
        for protocol in of_benchmark:
            name = benchmark.name if len(of_benchmark) == 1 else f"{benchmark.name}_{protocol.name}"
            fields: dict[str, Any] = {} if protocol is None else {"protocol": protocol, "changes": None}
            callbacks.append(BenchmarkCallback(replace(benchmark, name=name, **fields), **each.schedule))
    return callbacks


def epochs_completed(trainer: pl.Trainer) -> int:
    """Return the number of epochs that were trained to their end; Lightning also counts one that `max_steps` cuts."""
    batches, epochs = trainer.fit_loop.epoch_loop.batch_progress, trainer.fit_loop.epoch_progress
    whole = batches.is_last_batch or batches.current.ready >= trainer.num_training_batches
    return epochs.current.started - (not whole)  # type: ignore[attr-defined]


def share_buffers(module: pl.LightningModule) -> None:
    """Give all ranks the first rank's buffers: DDP does so only before a forward pass of training.

    Buffers that DDP leaves out (a queue, a bank) take no part in features.
    """
    left_out: Iterable[str] = getattr(module, "_ddp_params_and_buffers_to_ignore", ())
    for name, buffer in module.named_buffers():
        if name not in left_out:
            dist.broadcast(buffer, 0)


def _network(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Network:
    """Return the description of a module in training or validation; a training has the seed of Lightning."""
    network = Network.of(pl_module)
    known: dict[str, Any] = {"name": f"{type(pl_module).__name__}, {network.name}"}
    if trainer.state.fn == "fit":
        known["seed"] = int(os.environ["PL_GLOBAL_SEED"]) if "PL_GLOBAL_SEED" in os.environ else None
        known["recipe"] = recipe_of(trainer)
    elif trainer.ckpt_path:
        weights = ", ".join(filter(None, (network.weights, str(trainer.ckpt_path))))
        known |= {"weights": weights, "loaded": True}
    return network.model_copy(update=known)


def recipe_of(trainer: pl.Trainer) -> str:
    """Return a digest of the command line's configuration of a training but its seeds and folders; "" without one."""
    saving = [each for each in trainer.callbacks if isinstance(each, SaveConfigCallback)]  # type: ignore[attr-defined]
    if not saving:
        return ""
    config = saving[0].config.as_dict()
    config["trainer"] = {key: value for key, value in config["trainer"].items() if key not in OF_A_RUN}
    parts = [_without_seed(config.get(part)) for part in ("trainer", "model", "data")]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _without_seed(part: object) -> object:
    """Return the configuration of a class without the argument `seed`."""
    if not isinstance(part, dict):
        return part
    return {key: _without_seed(value) for key, value in part.items() if key != "seed"}
