"""Base of the benchmarks as callbacks: when they run in `fit` and `validate`, and what of it is logged and saved.

The only file of the benchmarks that needs Lightning; without it they evaluate all the same.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.backbones import describe_network

from ..results.stored import folder_of_epoch
from .benchmark import Benchmark
from .ranks import Ranks
from .results import require_writable

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning import Callback
else:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        Callback = object

log = logging.getLogger(__name__)


class BenchmarkCallback(Benchmark, Callback):
    """Run a benchmark in validation, every few epochs of `fit` and in `validate`, or by `evaluate` alone.

    A benchmark defines `name`, `read` and `start`, and declares `score_names`. Its sequences are distributed over the
    ranks by length; an error on one rank ends the benchmark on all: `validate` fails with its message, `fit` logs it
    and continues. The module in training is left unchanged: features come from its `feature_extractor`, and torch's
    random state is restored. In Lightning's `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        output_dir: where files go; None is `benchmarks/<name>/` in the folder of the run.
        fatal: let an error end `fit` too.
        kwargs: those of `Benchmark`: limit_sequences, predictions, changes, name, stage, stride.

    Attributes:
        history: optimiser step → logged scores, of each run in `fit` or `validate` that succeeded.

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
        super().__init__(**kwargs)
        if every_n_epochs < 1:
            raise ValueError(f"{type(self).__name__}: every_n_epochs is {every_n_epochs}, it must be at least 1")
        self.every_n_epochs, self.before_training = every_n_epochs, before_training
        self.output_dir, self.fatal = output_dir, fatal
        self.history: dict[int, dict[str, float]] = {}
        self._epochs: dict[int, int] = {}  # optimiser step → epochs trained, of the runs in `history`
        self._tried: int | None = None  # optimiser step of the last run
        self._fast_dev_run: int | None = None  # sequences of one

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once; in a `fast_dev_run` as many as batches."""
        return super().sequences[: self._fast_dev_run]

    def setup(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", stage: str) -> None:
        """Open the data set and the folder before any training, so that a mistake in them is reported at once."""
        if stage == "fit":
            self.history, self._epochs, self._tried = {}, {}, None  # those of another fit, in a notebook
        if stage in ("fit", "validate"):
            self._check_neighbours(trainer, stage)
            self._fast_dev_run = int(trainer.fast_dev_run) or None  # type: ignore[attr-defined]
            with Ranks() as ranks, ranks.together():
                _ = self.sequences
                if self.output_dir is not None and ranks.rank == 0:
                    require_writable(Path(self.output_dir))

    def teardown(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", stage: str) -> None:
        """Give `evaluate` all sequences again after a `fast_dev_run`."""
        self._fast_dev_run = None

    def _check_neighbours(self, trainer: "pl.Trainer", stage: str) -> None:
        """Raise if other callbacks or the Trainer would make scores wrong or skip them."""
        from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging

        others: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others if other != self):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one. Give one of them "
                f"another name in a file, under init_args: name: {self.name}_2"
            )
        if stage == "fit" and any(isinstance(o, WeightAveraging) for o in others[: others.index(self)]):
            raise ValueError(f"{self.name} would score weights that are not averaged: name WeightAveraging after it")
        stops = (o.monitor.startswith(f"{self.name}/") for o in others if isinstance(o, EarlyStopping))
        if stage == "fit" and self.every_n_epochs > 1 and any(stops):
            raise ValueError(f"EarlyStopping checks {self.name} every epoch: set its every_n_epochs to 1")
        if stage == "validate" and trainer.limit_val_batches == 0:
            raise ValueError(f"{self.name} needs a pass of validation: leave trainer.limit_val_batches out")

    def on_save_checkpoint(
        self, trainer: "pl.Trainer", pl_module: "pl.LightningModule", checkpoint: dict[str, Any]
    ) -> None:
        """Record the scores so far, so that a resumed run has those from before."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        state = {
            "history": {step: dict(scores) for step, scores in self.history.items()},
            "epochs": dict(self._epochs),
            "tried": self._tried,
        }
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
        """Run before training, where that is asked for; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            self._evaluate_and_log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run if this epoch is one of every_n_epochs."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if not trainer.sanity_checking and (trainer.state.fn != "fit" or due):
            pl_module.log_dict(self._evaluate_in(trainer, pl_module), rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run after the last step, where the run ends within an epoch."""
        if self._tried != trainer.global_step:
            self._evaluate_and_log(trainer, pl_module)

    def _evaluate_and_log(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> None:
        """Run outside validation, where Lightning logs nothing by itself."""
        from ..loggers import log_scores

        log_scores(trainer, self._evaluate_in(trainer, pl_module))

    def _evaluate_in(self, trainer: "pl.Trainer", pl_module: "pl.LightningModule") -> dict[str, float]:
        from ..loggers import log_picture, run_folder

        fitting, step = trainer.state.fn == "fit", trainer.global_step
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            folder = None
        elif self.output_dir is not None:
            folder = Path(self.output_dir)
        else:
            folder = run_folder(trainer) / "benchmarks" / self.name / folder_of_epoch(trainer.current_epoch, step)
        self._tried = step
        try:
            loaded = "" if fitting else str(trainer.ckpt_path or "")
            network = [type(pl_module).__name__, describe_network(pl_module), loaded]
            past = self._before(step) if fitting else []
            scores = self.evaluate(self.extractor(pl_module), folder, ", ".join(filter(None, network)), past)
        except Exception as error:
            if self.fatal or not fitting:
                raise
            log.error("%s failed; the training continues: %s", self.name, error)
            return {}
        if trainer.is_global_zero:
            for name, picture in (self.plots | self.overlays).items():
                log_picture(trainer, f"{self.name}/{name}", picture)
        self._epochs[step] = trainer.current_epoch + 1 if step else 0
        self.history[step] = {f"{self.name}/{key}": value for key, value in scores.items()}
        return self.history[step]

    def _before(self, step: int) -> list[dict[str, Any]]:
        """Return the results of this training before a step, including those of the run that it resumed."""
        strip = len(self.name) + 1
        return [
            {"epoch": epoch, "step": at, "scores": {key[strip:]: value for key, value in self.history[at].items()}}
            for at, epoch in sorted(self._epochs.items())
            if at < step and at in self.history
        ]
