"""Lightning's hooks of all benchmarks: the runs in `fit` and `validate`, their logging and their history.

To import Lightning takes three times as long as to import torch, and neither `vidcorr evaluate` nor a notebook that
scores a frozen network needs it. So `BenchmarkCallback` takes Lightning's `Callback` as its second base as soon as
Lightning is imported, before or after this module. Two classes for every benchmark, a plain class and a callback, would
need no such step; but they would share a name, and a notebook would have to know which to import.
"""

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results.result import Evaluated, Network, require_writable
from ..videos.folder_lock import FolderLock
from .base import Benchmark
from .ranks import BenchmarkError, Ranks

if TYPE_CHECKING:
    import pytorch_lightning as pl

log = logging.getLogger(__name__)

EPOCH_FOLDER = "epoch={:03d}-step={:06d}"
"""Name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""


class BenchmarkCallback(Benchmark):
    """A benchmark that runs in validation, every few epochs of `fit` and in `validate`; or by `evaluate` alone.

    An error ends `validate` with its message; `fit` logs it, continues, and names it again at its end. In Lightning's
    `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        output_dir: folder of its files; None is `benchmarks/<name>/` in the folder of the run.
        fatal: let an error end `fit` too.
        kwargs: arguments of `Benchmark`: limit_sequences, predictions, changes, name, stage, stride.

    Attributes:
        history: optimiser step → logged scores, of the successful runs in `fit` or `validate`.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        before_training: bool = False,
        output_dir: str | Path | None = None,
        fatal: bool = False,
        **kwargs: Any,
    ) -> None:
        join_lightning()
        super().__init__(**kwargs)
        if every_n_epochs < 1:
            raise ValueError(f"{type(self).__name__}: every_n_epochs is {every_n_epochs}, it must be at least 1")
        self.every_n_epochs, self.before_training = every_n_epochs, before_training
        self.output_dir, self.fatal = output_dir, fatal
        self.history: dict[int, dict[str, float]] = {}
        self._epochs: dict[int, int] = {}  # optimiser step → epochs trained, of the runs in `history`
        self._tried: int | None = None  # optimiser step of the last run
        self._failures: list[str] = []
        self._held = ExitStack()  # lock of the folder, until the run ends

    def __getattr__(self, name: str) -> Any:
        """Join Lightning if it was imported after this benchmark was made."""
        if join_lightning() and hasattr(type(self), name):
            return getattr(self, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def setup(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", stage: str) -> None:
        """Open the data set and lock the folder before any training, so that a mistake is reported at once."""
        if stage == "fit":
            self.history, self._epochs, self._tried = {}, {}, None  # an earlier fit of a notebook filled them
            self._failures = []
        if stage in ("fit", "validate"):
            self._check_neighbours(trainer, stage)
            self._most = int(trainer.fast_dev_run) or None  # type: ignore[attr-defined]
            with Ranks() as ranks, ranks.together():
                _ = self.sequences
                if self.output_dir is not None and ranks.rank == 0:
                    require_writable(Path(self.output_dir))
                    self._held.enter_context(FolderLock(Path(self.output_dir), "give each run its own output_dir"))

    def teardown(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", stage: str) -> None:
        """End a `fast_dev_run`, release the folder, and repeat the errors of failed runs."""
        self._most = None
        self._held.close()
        for failure in self._failures:
            log.error("%s", failure)
        self._failures = []

    def on_exception(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", exception: BaseException) -> None:
        """Release the folder: after an error Lightning calls no `teardown`."""
        self._held.close()

    def _check_neighbours(self, trainer: "pl.Trainer", stage: str) -> None:
        """Raise if other callbacks or the Trainer would make scores wrong or skip them."""
        from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging

        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        others = [callback for callback in callbacks if callback is not self]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one. Rename one of them, "
                f"after its config: --trainer.callbacks.name {self.name}_2"
            )
        if stage == "validate":
            if trainer.limit_val_batches == 0:
                raise ValueError(f"{self.name} needs a pass of validation: leave trainer.limit_val_batches out")
            return
        if any(isinstance(callback, WeightAveraging) for callback in callbacks[: callbacks.index(self)]):
            raise ValueError(f"{self.name} would score weights that are not averaged: name WeightAveraging after it")
        for other in others:
            every_epoch = isinstance(other, EarlyStopping | ModelCheckpoint)
            if every_epoch and self.every_n_epochs > 1 and str(other.monitor).startswith(f"{self.name}/"):
                advice = f"set every_n_epochs of {self.name} to 1"
                if isinstance(other, ModelCheckpoint):
                    advice += ", or use BestCheckpoint in its place"
                raise ValueError(f"{type(other).__name__} checks {self.name} every epoch: {advice}")

    def on_save_checkpoint(
        self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", checkpoint: dict[str, Any]
    ) -> None:
        """Record the scores so far, for a resumed run."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        state = {"history": dict(self.history), "epochs": dict(self._epochs), "tried": self._tried}
        checkpoint.setdefault("benchmarks", {})[self.name] = state

    def on_load_checkpoint(
        self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of the resumed run."""
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        history = state.get("history", {})
        self.history = {int(step): {str(k): float(v) for k, v in scores.items()} for step, scores in history.items()}
        self._epochs = {int(step): int(epoch) for step, epoch in state.get("epochs", {}).items()}
        self._tried = state.get("tried")

    def on_fit_start(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Refuse a stage or stride that the module does not have, before any training."""
        _ = self.extractor(pl_module)

    def on_train_start(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run before training if `before_training` is set; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            self._evaluate_and_log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run every `every_n_epochs` epochs, and after the last epoch."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if not trainer.sanity_checking and (trainer.state.fn != "fit" or due):
            pl_module.log_dict(self._evaluate_in(trainer, pl_module), rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run after the last step if the training ends within an epoch."""
        if self._tried != trainer.global_step:
            self._evaluate_and_log(trainer, pl_module)

    def _evaluate_and_log(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run outside validation, and log the scores: Lightning logs only within its loops."""
        from callbacks.loggers import log_scores

        log_scores(trainer, self._evaluate_in(trainer, pl_module))

    def _evaluate_in(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> dict[str, float]:
        from callbacks.loggers import log_picture, run_folder

        fitting, step = trainer.state.fn == "fit", trainer.global_step
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            folder = None
        elif self.output_dir is not None:
            folder = Path(self.output_dir)
        else:
            folder = run_folder(trainer) / "benchmarks" / self.name / EPOCH_FOLDER.format(trainer.current_epoch, step)
        self._tried = step
        epoch = _epochs_completed(trainer) if step else 0
        try:
            past, at = (self._past(step), (epoch, step)) if fitting else ([], None)
            scores = self.evaluate(self.extractor(pl_module), folder, _network(trainer, pl_module), past, at)
        except Exception as error:
            if self.fatal or not fitting:
                raise
            unforeseen = not isinstance(error, BenchmarkError)
            log.error("%s failed; the training continues: %s", self.name, error, exc_info=unforeseen)
            self._failures.append(f"{self.name} failed after step {step}: {type(error).__name__}: {error}")
            return {}
        if trainer.is_global_zero:
            for name, picture in (self.plots | self.overlays).items():
                log_picture(trainer, f"{self.name}/{name}", picture)
        self._epochs[step] = epoch
        self.history[step] = {f"{self.name}/{key}": value for key, value in scores.items()}
        return self.history[step]

    def _past(self, step: int) -> list[Evaluated]:
        """Return the results before a step, of this training and the run that it resumed."""
        found = []
        for earlier in sorted(self.history.keys() & self._epochs.keys()):
            if earlier < step:
                scores = {key.removeprefix(f"{self.name}/"): value for key, value in self.history[earlier].items()}
                found.append(Evaluated(epoch=self._epochs[earlier], step=earlier, scores=scores))
        return found


def _epochs_completed(trainer: "pl.Trainer") -> int:
    """Return the number of epochs that were trained to their end; Lightning also counts one that `max_steps` cuts."""
    batches, epochs = trainer.fit_loop.epoch_loop.batch_progress, trainer.fit_loop.epoch_progress
    whole = batches.is_last_batch or batches.current.ready >= trainer.num_training_batches
    return epochs.current.started - (not whole)


def _network(trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> Network:
    """Return the description of a module in training or validation; a training has the seed of Lightning."""
    network = Network.of(pl_module)
    known: dict[str, Any] = {"name": f"{type(pl_module).__name__}, {network.name}"}
    if trainer.state.fn == "fit":
        known["seed"] = int(os.environ["PL_GLOBAL_SEED"]) if "PL_GLOBAL_SEED" in os.environ else None
    elif trainer.ckpt_path:
        weights = ", ".join(filter(None, (network.weights, str(trainer.ckpt_path))))
        known |= {"weights": weights, "loaded": True}
    return network.model_copy(update=known)


def join_lightning() -> bool:
    """Make benchmarks Lightning callbacks if Lightning is imported; return whether this call did so."""
    callback = getattr(sys.modules.get("pytorch_lightning"), "Callback", None)
    if callback is None or issubclass(BenchmarkCallback, callback):
        return False
    BenchmarkCallback.__bases__ = (Benchmark, callback)
    return True


join_lightning()
