"""The callback of a benchmark in `fit` and `validate`, and the checkpoints with its best scores."""

import logging
import math
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging, WeightAveraging
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vidcorr.benchmarks.base import Benchmark
from vidcorr.benchmarks.output import Output
from vidcorr.benchmarks.ranks import BenchmarkError, LostRank, Ranks, first_ranks_buffers
from vidcorr.results.result import Evaluated, Result
from vidcorr.videos.files import require_at_least

from .checkpoint_files import use_atomic_files
from .description import network_of
from .loops import epochs_completed, logged_step
from .run_folder import checkpoint_folder, log_picture, log_scores, run_folder

log = logging.getLogger(__name__)

EPOCH_FOLDER = "epoch={:03d}-step={:06d}"
"""Name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""


class BenchmarkCallback(pl.Callback):
    """Run a benchmark in validation: every few epochs of `fit`, after its last step, and in `validate`.

    In a `fit` without a pass of validation it runs at the end of the training epoch. It runs in each pass of validation
    of its epochs; an epoch without a pass is left out, so with `check_val_every_n_epoch=3` and `every_n_epochs=2` it
    runs every 6 epochs.

    Its files go to `benchmarks/<name>/epoch=…-step=…/` in the folder of the run, in `validate` by epoch and step of the
    checkpoint. An error ends `validate` with its message, and a `fit` in which an EarlyStopping or a schedule monitors
    a score of the benchmark; another `fit` logs it and continues, and `BestCheckpoint` skips the epoch. In Lightning's
    `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        benchmark: the benchmark.
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.

    Attributes:
        result: result of the last run; None before the first.
        folder: folder of that result; None in `fast_dev_run`.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores, or whose
            network gives no features.
    """

    def __init__(self, benchmark: Benchmark, every_n_epochs: int = 1, before_training: bool = False) -> None:
        require_at_least(1, "BenchmarkCallback", every_n_epochs=every_n_epochs)
        self.benchmark = benchmark
        self.every_n_epochs = every_n_epochs
        self.before_training = before_training
        self.result: Result | None = None
        self.folder: Path | None = None
        self._runs: list[Evaluated] = []  # of this fit, also before a resumption: epoch, step and scores
        self._loaded: tuple[int, int] | None = None  # epoch and step of the checkpoint that was loaded

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name

    @property
    def score_keys(self) -> list[str]:
        """Keys of all scores that may be logged; empty if the benchmark declares none."""
        return [f"{self.name}/{score}" for score in self.benchmark.score_names]

    @property
    def history(self) -> dict[int, dict[str, float]]:
        """Optimiser step → logged scores, of the successful runs in `fit` or `validate`."""
        found: dict[int, dict[str, float]] = {}
        for run in self._runs:
            found[run.step] = {f"{self.name}/{key}": score for key, score in run.scores.items()}
        return found

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the data set before any training, and refuse neighbours that would make scores wrong or skip them."""
        if stage == "test":
            raise ValueError(f"{self.name} runs in validation: call trainer.validate in place of trainer.test")
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, BenchmarkCallback) and other is not self and other.name == self.name:
                raise ValueError(f"two benchmarks are called {self.name}: give one another name")
            if isinstance(other, WeightAveraging | StochasticWeightAveraging):
                raise ValueError(f"{type(other).__name__} beside {self.name}: which weights are scored is not defined")
        # every rank logs the scores of all ranks
        warnings.filterwarnings("ignore", f"It is recommended to use `self.log.'{re.escape(self.name)}/")
        self._loaded = None
        if stage == "fit":
            self._runs = []  # an earlier fit of a notebook filled them
        with Ranks() as ranks, ranks.together():  # an error of one rank is an error of all
            _ = self.benchmark.sequences

    def plan_row(self) -> tuple[str, str]:
        """Return the row of the plan of a training: when the benchmark runs."""
        start = "before the first step, " if self.before_training else ""
        return "benchmarks", f"{self.name} {start}{_every(self.every_n_epochs)}, then at the end"

    def _followers(self, trainer: pl.Trainer) -> list[tuple[Any, str, int]]:
        """Return what monitors a score of this benchmark ("followers"), in a fit.

        Lightning gives a follower the last logged score, however old. So `_refuse_followers` refuses one that reads
        between two runs of the benchmark, and beside a follower a failed run ends the fit: its score is missing.
        `BestCheckpoint` waits for a run, and is no follower; any other ModelCheckpoint may also save by steps and time.

        Returns:
            Callback or schedule; key; epochs between its readings, 0 if it may read after any step.
        """
        found: list[tuple[Any, str | None, int]] = []
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, EarlyStopping):
                found.append((other, other.monitor, trainer.check_val_every_n_epoch or 1))
            elif isinstance(other, ModelCheckpoint) and not isinstance(other, BestCheckpoint):
                found.append((other, other.monitor, 0))
        for schedule in trainer.lr_scheduler_configs:
            if isinstance(schedule.scheduler, ReduceLROnPlateau):
                epochs = schedule.frequency if schedule.interval == "epoch" else 0
                found.append((schedule.scheduler, schedule.monitor, epochs))
        return [(other, key, epochs) for other, key, epochs in found if key and key.startswith(f"{self.name}/")]

    def _refuse_followers(self, trainer: pl.Trainer) -> None:
        """Refuse what would read a score between two runs, or take the worst for the best.

        Raises:
            ValueError: with the remedy.
        """
        # epochs between two runs: an epoch needs its turn and a pass of validation
        period = math.lcm(self.every_n_epochs, trainer.check_val_every_n_epoch or 1)
        for other, key, epochs in self._followers(trainer):
            what = f"{type(other).__name__} of {key}"
            if not epochs or epochs % period:
                raise ValueError(
                    f"{what} would read old scores, as {self.name} runs {_every(period)}: see BestCheckpoint"
                )
            self.refuse_worst(what, key, other.mode)

    def refuse_worst(self, what: str, key: str, mode: str) -> None:
        """Refuse a mode that would take the worst score for the best.

        Raises:
            ValueError: with the remedy.
        """
        is_error = key.removeprefix(f"{self.name}/") in self.benchmark.less_is_better
        better, right = ("less", "min") if is_error else ("more", "max")
        if mode != right:
            raise ValueError(f'{what} has mode "{mode}", but {better} is better: set mode to "{right}"')

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the scores so far, for a resumed run."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        checkpoint.setdefault("benchmarks", {})[self.name] = {"runs": [run.model_dump() for run in self._runs]}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of the resumed run, and note at which epoch and step the checkpoint was written."""
        self._loaded = (checkpoint["epoch"], checkpoint["global_step"])
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        self._runs = [Evaluated(**run) for run in state.get("runs", [])]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse, before any training, a module without features, stale scores, and a training on scored videos."""
        self._refuse_followers(trainer)
        self.benchmark.extractor(pl_module)
        trained = getattr(trainer.datamodule, "trained_videos", set)  # type: ignore[attr-defined]
        both = sorted(trained().intersection(self.benchmark.held_out()))
        if both:
            raise ValueError(
                f"{self.name}: {len(both)} sequences that it holds out are trained on, such as {both[0]}: take them"
                " out of data.source, or set include_holdout of the data to train on them"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run before training if `before_training` is set; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            scores = self._run(trainer, pl_module, trainer.global_step)
            log_scores(trainer, scores)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run every `every_n_epochs` epochs, and after the last epoch."""
        if not trainer.sanity_checking and (trainer.state.fn != "fit" or self._is_due(trainer)):
            scores = self._run(trainer, pl_module, logged_step(trainer))
            pl_module.log_dict(scores, rank_zero_only=False, sync_dist=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run if the fit has no passes of validation, and so no `on_validation_epoch_end`."""
        if not _validates(trainer) and self._is_due(trainer):
            scores = self._run(trainer, pl_module, logged_step(trainer) - 1)  # Lightning has counted the last batch
            pl_module.log_dict(scores, rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run after the last step, if it has no score yet: the training ended within an epoch, or the run has failed.

        Lightning's `log_dict` is refused here, so loggers and callbacks get the scores directly.
        """
        if trainer.global_step not in self.history:
            scores = self._run(trainer, pl_module, trainer.global_step)
            log_scores(trainer, scores)
            trainer.callback_metrics.update({key: torch.tensor(score) for key, score in scores.items()})

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether the benchmark runs in the current epoch of a fit: every few epochs, and in the last."""
        completed = trainer.current_epoch + 1  # Lightning counts this epoch only after the hooks
        return completed % self.every_n_epochs == 0 or completed == trainer.max_epochs

    def _run(self, trainer: pl.Trainer, pl_module: pl.LightningModule, log_step: int) -> dict[str, float]:
        """Run the benchmark, keep its result and log its pictures; the caller logs the scores.

        Args:
            trainer: the trainer.
            pl_module: the module.
            log_step: step at which pictures are logged.

        Returns:
            Logged key → score; empty if the benchmark failed in a fit.
        """
        fitting = trainer.state.fn == "fit"
        epoch = trainer.current_epoch
        step = trainer.global_step
        if self._loaded is not None and not fitting:
            epoch, step = self._loaded
        earlier = [run for run in self._runs if fitting and run.step < step]  # runs before a resumption count too
        folder: Path | None = None
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            folder = run_folder(trainer) / "benchmarks" / self.name / EPOCH_FOLDER.format(epoch, step)
        output = Output(folder)
        completed = epochs_completed(trainer) if fitting and step else 0
        training: dict[str, Any] = {"past": earlier, "at": (completed, step)} if fitting else {}
        benchmark = self._benchmark_of_run(trainer)
        try:
            network = network_of(trainer, pl_module)
            features = benchmark.extractor(pl_module)
            with first_ranks_buffers(features, trainer.world_size):
                self.result = benchmark.run(features, network, output, shared=True, **training)
        except Exception as error:
            if not fitting or isinstance(error, LostRank) or self._followers(trainer):
                raise
            unforeseen = not isinstance(error, BenchmarkError)
            log.error("%s failed; the training continues: %s", self.name, error, exc_info=unforeseen)
            return {}
        self.folder = folder
        if trainer.is_global_zero:
            for name, picture in output.pictures.items():
                log_picture(trainer, f"{self.name}/{name}", picture, log_step)
        self._runs = [*earlier, Evaluated(epoch=completed, step=step, scores=self.result.scores)]
        return self.history[step]

    def _benchmark_of_run(self, trainer: pl.Trainer) -> Benchmark:
        """Return the benchmark, in Lightning's `fast_dev_run` with at most as many sequences as that has batches."""
        batches = int(trainer.fast_dev_run)  # type: ignore[attr-defined]
        if not batches:
            return self.benchmark
        return replace(self.benchmark, limit_sequences=min(batches, self.benchmark.limit_sequences or batches))


def _every(epochs: int) -> str:
    """Return a number of epochs in words."""
    return "every epoch" if epochs == 1 else f"every {epochs} epochs"


def _validates(trainer: pl.Trainer) -> bool:
    """Return whether a fit has passes of validation.

    Lightning counts their batches at the first pass; until then its list is empty, and a pass is to be expected.
    """
    batches = trainer.num_val_batches
    return trainer.enable_validation and (not batches or sum(batches) > 0)


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoints with the best scores of a benchmark, saved right after its runs.

    Lightning's `ModelCheckpoint` compares the last logged score, however old.

    Args:
        monitor: a logged score, `<benchmark>/<key>`; None is the first score of the first benchmark that declares any.
        mode: `max`; `min` for a score of which less is better.
        save_top_k: number of checkpoints to keep; −1: all.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: at the start of `fit`, if no benchmark logs the score, or the worst would be kept.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
        dirpath: str | Path | None = None,
    ) -> None:
        super().__init__(
            dirpath,
            "best-epoch={epoch:03d}-step={step:06d}",
            monitor,
            mode=mode,
            save_top_k=save_top_k,
            auto_insert_metric_name=False,
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder and the score, and refuse a mode that would keep the worst."""
        use_atomic_files(trainer)
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        benchmarks = [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
        benchmark_of = {key: benchmark for benchmark in benchmarks for key in benchmark.score_keys}
        self.monitor = self.monitor or next(iter(benchmark_of), "a score")
        if self.monitor not in benchmark_of:
            raise ValueError(f"BestCheckpoint: no benchmark logs {self.monitor}; they log {', '.join(benchmark_of)}")
        self._benchmark = benchmark_of[self.monitor]
        self._benchmark.refuse_worst(f"BestCheckpoint of {self.monitor}", self.monitor, self.mode)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark has scored the present step, and its score is among the best."""
        if trainer.state.fn == "fit" and self.monitor in self._benchmark.history.get(trainer.global_step, {}):
            super().on_validation_end(trainer, pl_module)

    on_train_epoch_end = on_validation_end  # for a fit without validation
    on_train_end = on_validation_end  # the benchmark may run after the last step

    def on_train_batch_end(self, *_: object) -> None:
        """Save nothing: benchmarks run between steps."""
