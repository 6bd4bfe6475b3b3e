"""The callback of a benchmark: when it runs in `fit` and `validate`, where its files and scores go, and its history."""

import json
import logging
import os
import re
import warnings
from collections.abc import Iterable
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
from vidcorr.benchmarks.evaluation import BenchmarkError, LostRank, Ranks
from vidcorr.errors import UsageError
from vidcorr.experiments.configured import FLAGS, protocols_of, read_changes, read_on
from vidcorr.results.result import Evaluated, Network, Result
from vidcorr.videos.digests import text_digest
from vidcorr.videos.files import require_at_least

from .run_folder import log_picture, log_scores, require_pytorch_lightning, run_folder

OF_A_RUN = ("callbacks", "default_root_dir", "logger", "enable_progress_bar", "enable_model_summary")
"""Arguments of the Trainer that no weights depend on."""
log = logging.getLogger(__name__)

EPOCH_FOLDER = "epoch={:03d}-step={:06d}"
"""Name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""


class BenchmarkCallback(pl.Callback):
    """Runs a benchmark in validation: every few epochs of `fit`, after its last step, and in `validate`.

    Its files go to `benchmarks/<name>/` in the folder of the run. An error ends `validate` with its message; `fit` logs
    it and continues. In Lightning's `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        benchmark: the benchmark.
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.

    Attributes:
        result: result of the last run; None before the first.
        folder: folder of that result; None in `fast_dev_run`.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    def __init__(self, benchmark: Benchmark, every_n_epochs: int = 1, before_training: bool = False) -> None:
        require_at_least(1, "BenchmarkCallback", every_n_epochs=every_n_epochs)
        self.benchmark = benchmark
        self.every_n_epochs, self.before_training = every_n_epochs, before_training
        self.result: Result | None = None
        self.folder: Path | None = None
        self._runs: list[Evaluated] = []
        self._tried: int | None = None  # optimiser step of the last run

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name

    @property
    def history(self) -> dict[int, dict[str, float]]:
        """Optimiser step → logged scores, of the successful runs in `fit` or `validate`."""
        return {run.step: {f"{self.name}/{key}": score for key, score in run.scores.items()} for run in self._runs}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the data set before any training, and refuse neighbours that would make scores wrong or skip them."""
        require_pytorch_lightning(trainer)
        if stage == "test":
            raise ValueError(f"{self.name} runs in validation: call trainer.validate in place of trainer.test")
        # every rank logs the same scores, so that Lightning's advice to average them over the ranks is idle
        warnings.filterwarnings("ignore", rf"It is recommended to use `self\.log\('{re.escape(self.name)}/")
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        others = [callback for callback in callbacks if callback is not self]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one; give one another name"
            )
        if stage == "validate" and trainer.limit_val_batches == 0:
            raise ValueError(f"{self.name} needs a pass of validation: leave trainer.limit_val_batches out")
        if stage == "fit":
            self._runs, self._tried = [], None  # an earlier fit of a notebook filled them
            if any(isinstance(callback, WeightAveraging) for callback in callbacks[: callbacks.index(self)]):
                line = f"{self.name} would score weights before their averaging: name WeightAveraging after it"
                raise ValueError(line)
            for other in others:  # between two runs, its score would count again
                every_epoch = isinstance(other, EarlyStopping | ModelCheckpoint)
                if every_epoch and self.every_n_epochs > 1 and str(other.monitor).startswith(f"{self.name}/"):
                    advice = f"set every_n_epochs of {self.name} to 1"
                    if isinstance(other, ModelCheckpoint):
                        advice += ", or use BestCheckpoint in its place"
                    raise ValueError(f"{type(other).__name__} checks {self.name} every epoch: {advice}")
        with Ranks() as ranks, ranks.together():
            _ = self.benchmark.sequences

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the scores so far, for a resumed run."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        state = {"runs": [run.model_dump() for run in self._runs], "tried": self._tried}
        checkpoint.setdefault("benchmarks", {})[self.name] = state

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of the resumed run."""
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        self._runs = [Evaluated(**run) for run in state.get("runs", [])]
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
        earlier = [run for run in self._runs if run.step < step]  # also those before a resumption
        benchmark, folder = self.benchmark, None
        if batches := int(trainer.fast_dev_run):  # type: ignore[attr-defined]
            benchmark = replace(benchmark, limit_sequences=min(batches, benchmark.limit_sequences or batches))
        else:
            folder = run_folder(trainer) / "benchmarks" / self.name / EPOCH_FOLDER.format(trainer.current_epoch, step)
        try:
            if fitting and trainer.world_size > 1:
                share_buffers(pl_module)
            past, at = (earlier, (epoch, step)) if fitting else ([], None)
            network, features = _network(trainer, pl_module), benchmark.extractor(pl_module)
            run = benchmark.run(features, network, [benchmark.protocol], folder, shared=True, past=past, at=at)
        except Exception as error:
            if not fitting or isinstance(error, LostRank):
                raise
            unforeseen = not isinstance(error, BenchmarkError)
            log.error("%s failed; the training continues: %s", self.name, error, exc_info=unforeseen)
            return {}
        (self.result,), self.folder = run.results, folder
        if trainer.is_global_zero:
            for name, picture in run.pictures.items():
                log_picture(trainer, f"{self.name}/{name}", picture)
        self._runs = [*earlier, Evaluated(epoch=epoch, step=step, scores=self.result.scores)]
        return self.history[step]


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
    view = {"stage": stages, "stride": next(iter(config.stride), None)}
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
    parts = [config.get(part) for part in ("trainer", "model", "data")]
    text = re.sub(r'"seed": -?\w+', "", json.dumps(parts, sort_keys=True, default=str))
    return text_digest(text)
