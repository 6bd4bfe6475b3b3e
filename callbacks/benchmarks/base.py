"""Base of the benchmark callbacks: the hooks that run a benchmark, its ranks, and the files and logs of its scores."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from datamodules.reading.files import ProgressReport
from lightning_modules.backbones import build_feature_extractor, describe_network
from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

from .. import signals
from ..loggers import log_picture, log_scores, run_folder
from ..pictures import Picture, write_picture
from ..report import write_material, write_report
from ..stored_results import folder_of_epoch
from .evaluation import Evaluation, Outcome, RunContext
from .ranks import BenchmarkError, Ranks, distribute
from .results import Results, require_writable

log = logging.getLogger(__name__)


class BenchmarkCallback(pl.Callback, ABC):
    """Run a benchmark in validation, every few epochs of `fit` and in `validate`, or by `evaluate` alone.

    A benchmark defines `name`, `read` and `start`, and declares `score_names`. Its sequences are distributed over the
    ranks by length; an error on one rank ends the benchmark on all: `validate` fails with its message, `fit` logs it
    and continues. The module in training is left unchanged: features come from its `feature_extractor`, and the random
    state is restored. In Lightning's `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        limit_sequences: only the first N, for a quick check; results.json records it.
        output_dir: where files go; None is `benchmarks/<name>/` in the folder of the run.
        fatal: let an error end `fit` too.
        predictions: write the predictions, where the benchmark has files for them.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed where two benchmarks of a kind run together; None is the
            kind's.
        stage: stage of the encoder, or several, whose scores are then logged separately; None is the encoder's own
            choice.
        stride: pixels per feature cell; None takes the backbone's own choice, 8 for a ResNet and the patch of a ViT.
            Where it differs from the protocol's, the protocol's name shows it.

    Attributes:
        history: optimiser step → logged scores, of each run in `fit` or `validate` that succeeded.
        results: results of the last run; None before the first.
        overlays: sequence → its overlay, for the first few sequences of the last run.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    name: str
    score_names: tuple[str, ...] = ()
    """Every score that the benchmark may give, without its name and stage; empty: not declared."""
    protocols_like: tuple[str, ...] = ("davis",)
    """Benchmarks whose named protocols this one takes where a source has none for its own name."""
    ranked_by: tuple[str, ...] = ()
    """Columns of the rows whose mean ranks the sequences in the report."""
    text_columns: tuple[str, ...] = ()
    """Text columns of the rows, in addition to Stage and Sequence."""
    films_show: str = ""
    """Caption of the films: what is drawn over the frames."""

    def __init__(
        self,
        every_n_epochs: int = 1,
        before_training: bool = False,
        limit_sequences: int | None = None,
        output_dir: str | Path | None = None,
        fatal: bool = False,
        predictions: bool = True,
        changes: dict[str, Any] | None = None,
        name: str | None = None,
        stage: str | list[str] | None = None,
        stride: int | None = None,
    ) -> None:
        if name is not None:
            self.name = name
        for argument, number in (("every_n_epochs", every_n_epochs), ("limit_sequences", limit_sequences)):
            if number is not None and number < 1:
                raise ValueError(f"{type(self).__name__}: {argument} is {number}, it must be at least 1")
        self.every_n_epochs = every_n_epochs
        self.before_training = before_training
        self.limit_sequences = limit_sequences
        self.output_dir = output_dir
        self.fatal = fatal
        self.predictions, self.changes = predictions, changes or {}
        self.stage, self.stride = stage, stride
        self.history: dict[int, dict[str, float]] = {}
        self._epochs: dict[int, int] = {}  # optimiser step → epochs trained, of the same runs
        self._past: list[dict[str, Any]] = []  # the earlier results of this training
        self.results: Results | None = None
        self.overlays: dict[str, Picture] = {}
        self._plots: dict[str, Picture] = {}
        self._tried: int | None = None
        self._sequences: Sequence[Any] | None = None
        self._fast_dev_run: int | None = None  # sequences of one

    # What a benchmark defines

    @abstractmethod
    def read(self) -> Sequence[Any]:
        """Open the data set.

        Raises:
            DataError: for whatever can be known to be wrong before any work.
        """

    @abstractmethod
    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run: return what tracks and scores its sequences, with metrics that gather over its ranks."""

    def extractor(self, encoder: nn.Module) -> nn.Module:
        """Return the view of an encoder that is evaluated; of a LightningModule or of what `build_encoder` gives."""
        return build_feature_extractor(encoder, self.stage, self.stride)

    def metadata(self) -> dict[str, Any]:
        """Return the choices that the scores depend on, for results.json."""
        return {}

    # Use

    @property
    def score_keys(self) -> tuple[str, ...]:
        """Keys under which scores may be logged, known before any work; empty where the class declares none."""
        stages = self.stage if isinstance(self.stage, list) else [""]
        return tuple("/".join(filter(None, (self.name, s, key))) for s in stages for key in self.score_names)

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once."""
        if self._sequences is None:
            self._sequences = self.read()[: self.limit_sequences]
        return self._sequences[: self._fast_dev_run]

    def evaluate(
        self, extractor: nn.Module, folder: str | Path | None = None, network: str | None = None
    ) -> dict[str, float]:
        """Run the benchmark, with or without a Trainer.

        Args:
            extractor: result of `feature_extractor(stage, stride)` or `build_feature_extractor`; or a module, whose
                features are taken at the stage and stride of the benchmark.
            folder: where results, predictions and pictures go; None writes nothing.
            network: description of what is evaluated, for console and results; None is the extractor's description of
                its network and weights.

        Returns:
            Scores as fractions, for example `J&F-Mean`; with several stages `res4/J&F-Mean`.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: if the data are not as they should be.
        """
        if hasattr(extractor, "feature_extractor"):
            network, extractor = network or describe_network(extractor), self.extractor(extractor)
        began = time.perf_counter()
        with Ranks() as ranks:
            context = RunContext(ranks, None if folder is None else Path(folder))
            with isolate_rng(), torch.inference_mode():
                with ranks.together():
                    if context.folder is not None and ranks.rank == 0:
                        require_writable(context.folder)
                    evaluation = self.start(extractor, context)
                    evaluation.run(self._dealt(ranks))
                with ranks.together():
                    outcome = evaluation.compute()
            with ranks.together():
                metadata = {
                    "network": network or describe_network(extractor),
                    "seconds": round(time.perf_counter() - began, 2),
                    "stage": getattr(extractor, "stage", None),
                    "stride": getattr(extractor, "stride", None),
                    "sequences": len(self.sequences),
                    "limit_sequences": self.limit_sequences,
                    "ranks": ranks.size,
                    **self._origin(),
                    **({"history": self._past} if self._past else {}),
                    **self.metadata(),
                    **evaluation.metadata(),
                }
                self.results = Results(self.name, outcome.scores, outcome.rows, metadata)
                self.overlays, self._plots = context.overlays, dict(outcome.plots)
                if ranks.rank == 0:
                    self._report(self.results, outcome, evaluation, context.folder)
        return outcome.scores

    def _origin(self) -> dict[str, Any]:
        """Return the source of the protocol and what it states, for results.json."""
        protocol = getattr(self, "protocol", None)
        if not isinstance(protocol, EvaluationProtocol):
            return {}
        found = protocol.origin(type(self).name, self.protocols_like)
        return {"protocol_source": found} if found else {}

    def _dealt(self, ranks: Ranks) -> Iterator[Any]:
        """Yield the sequences of this rank; the first shows the progress."""
        numbers = distribute([sequence.num_frames for sequence in self.sequences], ranks.size)[ranks.rank]
        with ProgressReport(self.name, len(numbers), "sequences", silent=ranks.rank != 0) as progress:
            for number in numbers:
                signals.check()
                yield self.sequences[number]
                progress.advance(partial(str, self.sequences[number].name))

    def _report(self, results: Results, outcome: Outcome, evaluation: Evaluation, folder: Path | None) -> None:
        results.print()
        if folder is None:
            return
        evaluation.pack(folder)
        for name, picture in outcome.plots.items():
            write_picture(folder / f"{name}.png", picture)
        results.write(folder)
        try:
            names = [sequence.name for sequence in self.sequences]
            write_material(folder, names, self.ranked_by, self.films_show, outcome.charts, self.text_columns)
            write_report(folder)
        except Exception as error:  # the scores are written: no flaw of their page may take them back
            log.warning("%s: report.html could not be written: %s", self.name, error)
        log.info("%s: results are in %s", self.name, folder)

    # Hooks

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
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

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give `evaluate` all sequences again after a `fast_dev_run`."""
        self._fast_dev_run = None

    def _check_neighbours(self, trainer: pl.Trainer, stage: str) -> None:
        """Raise if other callbacks or the Trainer would make scores wrong or skip them."""
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
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
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
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of the resumed run."""
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        history = state.get("history", {})
        self.history = {int(step): {str(k): float(v) for k, v in scores.items()} for step, scores in history.items()}
        self._epochs = {int(step): int(epoch) for step, epoch in state.get("epochs", {}).items()}
        self._tried = state.get("tried")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a stage or stride that the module does not have, before any training."""
        _ = self.extractor(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run before training, where that is asked for; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            log_scores(trainer, self._evaluate_in(trainer, pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run if this epoch is one of every_n_epochs."""
        if trainer.sanity_checking or (trainer.state.fn == "fit" and not self._is_due(trainer)):
            return
        scores = self._evaluate_in(trainer, pl_module)
        pl_module.log_dict(scores, rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run after the last step, where the run ends within an epoch."""
        if self._tried != trainer.global_step:
            log_scores(trainer, self._evaluate_in(trainer, pl_module))

    def _is_due(self, trainer: pl.Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _evaluate_in(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
        subfolder = Path("benchmarks", self.name, folder_of_epoch(trainer.current_epoch, trainer.global_step))
        folder: Path | None = run_folder(trainer) / subfolder if self.output_dir is None else Path(self.output_dir)
        folder = None if trainer.fast_dev_run else folder  # type: ignore[attr-defined]
        self._tried = trainer.global_step
        self._past = self._before(trainer.global_step) if trainer.state.fn == "fit" else []
        try:
            loaded = "" if trainer.state.fn == "fit" else str(trainer.ckpt_path or "")
            network = [type(pl_module).__name__, describe_network(pl_module), loaded]
            scores = self.evaluate(self.extractor(pl_module), folder, ", ".join(filter(None, network)))
        except Exception as error:
            if self.fatal or trainer.state.fn != "fit":
                raise
            log.error("%s failed; the training continues: %s", self.name, error)
            return {}
        finally:
            self._past = []  # of this training, not of what `evaluate` gets next
        if trainer.is_global_zero:
            for name, picture in (self._plots | self.overlays).items():
                log_picture(trainer, f"{self.name}/{name}", picture)
        self._epochs[trainer.global_step] = trainer.current_epoch + 1 if trainer.global_step else 0
        self.history[trainer.global_step] = {f"{self.name}/{key}": value for key, value in scores.items()}
        return self.history[trainer.global_step]

    def _before(self, step: int) -> list[dict[str, Any]]:
        """Return the results of this training before a step, including those of the run that it resumed."""
        strip = len(self.name) + 1
        return [
            {"epoch": epoch, "step": at, "scores": {key[strip:]: value for key, value in self.history[at].items()}}
            for at, epoch in sorted(self._epochs.items())
            if at < step and at in self.history
        ]


__all__ = ["BenchmarkCallback", "BenchmarkError"]
