"""Base of all benchmarks: their definition, the run over a data set, and when `fit` and `validate` run it.

The only file of the benchmarks that needs Lightning; without it they evaluate all the same.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from datamodules.reading.files import ProgressReport
from lightning_modules.backbones import build_feature_extractor, describe_network
from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

from .. import signals
from ..pictures import Picture, write_picture
from ..report import Chart, write_report
from ..results.stored import EPOCH_FOLDER, StoredReport
from ..results.written import Results, require_writable
from .evaluation import Evaluation, RunContext
from .ranks import Ranks, distribute

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning import Callback
else:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        Callback = object

log = logging.getLogger(__name__)


class BenchmarkCallback(ABC, Callback):
    """A data set, what tracks and scores its sequences, and the run over them.

    It runs in validation, every few epochs of `fit` and in `validate`, or by `evaluate` alone. A benchmark defines
    `name`, `read` and `start`, and declares `score_names`. Its sequences are distributed over the ranks by length; an
    error on one rank ends the benchmark on all: `validate` fails with its message, `fit` logs it and continues. The
    module in training is left unchanged: features come from its `feature_extractor`, and torch's random state is
    restored. In Lightning's `fast_dev_run` it takes as many sequences as batches and writes nothing.

    Args:
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        output_dir: where files go; None is `benchmarks/<name>/` in the folder of the run.
        fatal: let an error end `fit` too.
        limit_sequences: only the first N, for a quick check; results.json records it.
        predictions: write the predictions, where the benchmark has files for them.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed where two benchmarks of a kind run together; None is the
            kind's.
        stage: stage of the encoder, or several, whose scores are then logged separately; None is the encoder's own
            choice.
        stride: pixels per feature cell; None takes the backbone's own choice, 8 for a ResNet and the patch of a ViT.
            Where it differs from the protocol's, the protocol's name shows it.

    Attributes:
        results: results of the last run; None before the first.
        overlays: sequence → its overlay, for the first few sequences of the last run.
        plots: name → picture, of the last run.
        history: optimiser step → logged scores, of each run in `fit` or `validate` that succeeded.

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
    recorded: tuple[str, ...] = ()
    """Attributes of the benchmark that results.json states."""
    animations_show: str = ""
    """Caption of the animations: what is drawn over the frames."""

    def __init__(
        self,
        every_n_epochs: int = 1,
        before_training: bool = False,
        output_dir: str | Path | None = None,
        fatal: bool = False,
        limit_sequences: int | None = None,
        predictions: bool = True,
        changes: dict[str, Any] | None = None,
        name: str | None = None,
        stage: str | list[str] | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        if name is not None:
            self.name = name
        for argument, number in (("every_n_epochs", every_n_epochs), ("limit_sequences", limit_sequences)):
            if number is not None and number < 1:
                raise ValueError(f"{type(self).__name__}: {argument} is {number}, it must be at least 1")
        self.every_n_epochs, self.before_training = every_n_epochs, before_training
        self.output_dir, self.fatal = output_dir, fatal
        self.limit_sequences = limit_sequences
        self.predictions, self.changes = predictions, changes or {}
        self.stage, self.stride = stage, stride
        self.results: Results | None = None
        self.overlays: dict[str, Picture] = {}
        self.plots: dict[str, Picture] = {}
        self.history: dict[int, dict[str, float]] = {}
        self._epochs: dict[int, int] = {}  # optimiser step → epochs trained, of the runs in `history`
        self._tried: int | None = None  # optimiser step of the last run
        self._fast_dev_run: int | None = None  # sequences of one
        self._sequences: Sequence[Any] | None = None

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
        """Return the choices that the scores depend on, for results.json: the attributes named in `recorded`."""
        protocol = getattr(self, "protocol", None)
        known = isinstance(protocol, EvaluationProtocol) and protocol.origin(type(self).name, self.protocols_like)
        source = {"protocol_source": known} if known else {}
        return source | {name: getattr(self, name) for name in self.recorded}

    # Use

    @property
    def score_keys(self) -> tuple[str, ...]:
        """Keys under which scores may be logged, known before any work; empty where the class declares none."""
        stages = self.stage if isinstance(self.stage, list) else [""]
        return tuple("/".join(filter(None, (self.name, s, key))) for s in stages for key in self.score_names)

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once; in a `fast_dev_run` as many as batches."""
        if self._sequences is None:
            self._sequences = self.read()[: self.limit_sequences]
        return self._sequences[: self._fast_dev_run]

    def evaluate(
        self,
        extractor: nn.Module,
        folder: str | Path | None = None,
        network: str | None = None,
        history: Sequence[dict[str, Any]] = (),
    ) -> dict[str, float]:
        """Run the benchmark, with or without a Trainer.

        Args:
            extractor: result of `feature_extractor(stage, stride)` or `build_feature_extractor`; or a module, whose
                features are taken at the stage and stride of the benchmark.
            folder: where results, predictions and pictures go; None writes nothing.
            network: description of what is evaluated, for console and results; None is the extractor's description of
                its network and weights.
            history: earlier results of the same training, for results.json.

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
            gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
            with torch.random.fork_rng(gpus), torch.inference_mode():
                with ranks.together():
                    if context.folder is not None and ranks.rank == 0:
                        require_writable(context.folder)
                    evaluation = self.start(extractor, context)
                    for sequence in self._sequences_of(ranks):
                        evaluation.follow(sequence)
                with ranks.together():
                    scores, rows = evaluation.compute()
                    charts = evaluation.charts() if rows else ()
            with ranks.together():
                metadata = {
                    "network": network or describe_network(extractor),
                    "seconds": round(time.perf_counter() - began, 2),
                    "stage": getattr(extractor, "stage", None),
                    "stride": getattr(extractor, "stride", None),
                    "sequences": len(self.sequences),
                    "limit_sequences": self.limit_sequences,
                    "ranks": ranks.size,
                    **({"history": list(history)} if history else {}),
                    **self.metadata(),
                    **evaluation.metadata(),
                }
                self.results, self.overlays = Results(self.name, scores, rows, metadata), context.overlays
                if ranks.rank == 0:
                    self.results.print()
                    if context.folder is not None:
                        self.plots = evaluation.finish(context.folder)
                        self._write(self.results, charts, context.folder)
        return scores

    def _sequences_of(self, ranks: Ranks) -> Iterator[Any]:
        """Yield the sequences of this rank; the first rank shows the progress, in frames since videos differ."""
        frames = [sequence.num_frames for sequence in self.sequences]
        numbers = distribute(frames, ranks.size)[ranks.rank]
        total, done = sum(frames[number] for number in numbers), 0
        with ProgressReport(self.name, total, "frames", silent=ranks.rank != 0) as progress:
            for number in numbers:
                signals.check()
                yield self.sequences[number]
                done += frames[number]
                progress.advance(partial(str, self.sequences[number].name), to=done)

    def _write(self, results: Results, charts: Sequence[Chart], folder: Path) -> None:
        """Write results, plots and page of a run."""
        for name, picture in self.plots.items():
            write_picture(folder / f"{name}.png", picture)
        results.write(folder)
        try:
            StoredReport(
                sequences=[sequence.name for sequence in self.sequences],
                ranked_by=self.ranked_by,
                shows=self.animations_show,
                charts=[chart.plain() for chart in charts],
                text_columns=self.text_columns,
            ).write(folder)
            write_report(folder)
        except Exception as error:  # the scores are written: no flaw of their page may take them back
            log.warning("%s: report.html could not be written: %s", self.name, error)
        log.info("%s: results are in %s", self.name, folder)

    # When it runs

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
        from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging

        others: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others if other != self):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one. Give one of them "
                f"another name in a file, under init_args: name: {self.name}_2"
            )
        if stage == "fit" and any(isinstance(o, WeightAveraging) for o in others[: others.index(self)]):
            raise ValueError(f"{self.name} would score weights that are not averaged: name WeightAveraging after it")
        for other in others if stage == "fit" and self.every_n_epochs > 1 else ():
            # BestCheckpoint has a benchmark, and looks only when that has run
            looks = isinstance(other, EarlyStopping | ModelCheckpoint) and not hasattr(other, "benchmark")
            if looks and str(other.monitor).startswith(f"{self.name}/"):
                kind, or_else = type(other).__name__, ", or use BestCheckpoint" * isinstance(other, ModelCheckpoint)
                raise ValueError(f"{kind} checks {self.name} every epoch: set its every_n_epochs to 1{or_else}")
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
            folder = run_folder(trainer) / "benchmarks" / self.name / EPOCH_FOLDER.format(trainer.current_epoch, step)
        self._tried = step
        try:
            loaded = "" if fitting else str(trainer.ckpt_path or "")
            network = [type(pl_module).__name__, describe_network(pl_module), loaded]
            strip = len(self.name) + 1
            past = [  # of this training and the run that it resumed
                {"epoch": epoch, "step": at, "scores": {key[strip:]: score for key, score in self.history[at].items()}}
                for at, epoch in sorted(self._epochs.items())
                if fitting and at < step and at in self.history
            ]
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
