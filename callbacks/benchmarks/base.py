"""When a benchmark runs, over which ranks, and where its numbers go."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from pytorch_lightning.utilities.seed import isolate_rng
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from lightning_modules.backbones import build_feature_extractor

from ..pictures import Picture, log_picture
from ..report import Chart, write_material, write_report
from .ranks import BenchmarkError, Ranks, share_out
from .results import Results, require_writable, scores_table, wide_console

log = logging.getLogger(__name__)

OVERLAYS = 8
"""Sequences whose overlays go to the logger."""


class BenchmarkSequence(Protocol):
    """What the base needs to know of a sequence."""

    @property
    def name(self) -> str: ...
    @property
    def num_frames(self) -> int: ...


class BenchmarkCallback(pl.Callback, ABC):
    """A benchmark that runs in validation, every few epochs of `fit` and in `validate`, or by `evaluate` alone.

    A benchmark defines `name`, `read`, `start`, `run` and `finish`. Sequences are shared out over the ranks by length;
    an error on one rank ends the benchmark on all: `validate` fails with its message, `fit` logs it and goes on.
    The module that trains is left as it was: features come from its `feature_extractor`, the random state is put back.

    Args:
        every_n_epochs: of `fit`; it also runs after the last step.
        before_training: also run before the first step of `fit`.
        limit_sequences: only the first so many, for a quick look; results.json says so.
        output_dir: where files go; None is `benchmarks/<name>/` in the folder of the run.
        fatal: an error ends `fit` too.
        name: in keys and folders, where two benchmarks of a kind run beside each other; None is the kind's own.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    name: str
    stage: str | list[str] | None = None
    stride: int | None = None
    ranked_by: tuple[str, ...] = ()
    """Columns of the rows whose mean tells how well a sequence went, for the report."""
    films_show: str = ""
    """What is drawn over the frames, likewise."""

    def __init__(
        self,
        every_n_epochs: int = 1,
        before_training: bool = False,
        limit_sequences: int | None = None,
        output_dir: str | Path | None = None,
        fatal: bool = False,
        name: str | None = None,
    ) -> None:
        if name is not None:
            self.name = name
        if every_n_epochs < 1:
            raise ValueError(f"{type(self).__name__}: every_n_epochs is {every_n_epochs}, it must be at least 1")
        self.every_n_epochs = every_n_epochs
        self.before_training = before_training
        self.limit_sequences = limit_sequences
        self.output_dir = output_dir
        self.fatal = fatal
        self.history: dict[int, dict[str, float]] = {}
        """Optimiser step → logged scores, of each run in `fit` or `validate` that succeeded."""
        self.folder: Path | None = None
        """Of the run that is under way; None: nothing is written."""
        self.overlays: dict[str, Picture] = {}
        """Sequence → what was found in it, drawn over a few of its frames; see `keep`."""
        self.charts: list[Chart] = []
        """Over all sequences, for the report; a benchmark may make them in `finish`."""
        self._tried: int | None = None
        self._sequences: Sequence[Any] | None = None

    # What a benchmark defines

    @abstractmethod
    def read(self) -> Sequence[Any]:
        """Open the data set; raises `DataError` for whatever can be known to be wrong before any work."""

    @abstractmethod
    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """Begin a run: make new metrics that gather over `ranks.group`."""

    @abstractmethod
    def run(self, extractor: nn.Module, sequence: Any) -> None:
        """Evaluate one sequence and update the metrics."""

    @abstractmethod
    def finish(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Compute the metrics over all ranks: scores (without the benchmark's name) and rows per sequence."""

    def extractor(self, encoder: nn.Module) -> nn.Module:
        """The view that is evaluated of a LightningModule or of what `build_encoder` gives."""
        return build_feature_extractor(encoder, self.stage, self.stride)

    def about(self) -> dict[str, Any]:
        """What the scores depend on, for results.json."""
        return {}

    def pack(self, folder: Path) -> None:
        """Files that need those of all ranks; called on the first rank when all are done."""

    def close(self) -> None:
        """Let go of what only a run needs; called after each, also after one that failed."""

    def keep(self, name: str, overlay: Picture) -> None:
        """Keep an overlay for the logger, of the first few sequences."""
        if len(self.overlays) < OVERLAYS:
            self.overlays[name] = overlay

    def draw(self, logger: Any, step: int) -> None:
        """Pictures for the logger, after a run: the overlays of a few sequences."""
        for name, picture in self.overlays.items():
            log_picture(logger, f"{self.name}/{name}", picture, step)

    # Use

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once."""
        if self._sequences is None:
            self._sequences = self.read()[: self.limit_sequences]
        return self._sequences

    def evaluate(
        self, extractor: nn.Module, folder: str | Path | None = None, network: str | None = None
    ) -> dict[str, float]:
        """Run the benchmark, with or without a Trainer.

        Args:
            extractor: of `feature_extractor(stage, stride)` or `build_feature_extractor`; or a module, of which the
                features are taken that the benchmark wants.
            folder: where results, predictions and pictures go; None writes nothing.
            network: what is evaluated, in words, for the results; None is the extractor's class.

        Returns:
            Scores as fractions, for example `J&F-Mean`; with several stages `res4/J&F-Mean`.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: if the data are not as they should be.
        """
        ranks = Ranks()
        if hasattr(extractor, "feature_extractor"):
            network, extractor = network or type(extractor).__name__, self.extractor(extractor)
        self.folder = folder = None if folder is None else Path(folder)
        began = time.perf_counter()
        self.overlays, self.charts = {}, []
        network = network or type(extractor).__name__
        try:
            with isolate_rng(), torch.inference_mode():
                with ranks.together():
                    if folder is not None and ranks.rank == 0:
                        require_writable(folder)
                    shares = share_out([sequence.num_frames for sequence in self.sequences], ranks.size)
                    self.start(extractor, ranks)
                    with _progress(self.name, len(shares[ranks.rank]), ranks.rank) as bar:
                        task = bar.add_task(self.name, total=len(shares[ranks.rank]), sequence="")
                        for number in shares[ranks.rank]:
                            bar.update(task, sequence=self.sequences[number].name)
                            self.run(extractor, self.sequences[number])
                            bar.advance(task)
                scores, rows = self.finish()
            with ranks.together():
                seen = {name: getattr(extractor, name, None) for name in ("stage", "stride")}
                about = {"network": network, "seconds": round(time.perf_counter() - began, 2)} | seen
                self._report(scores, rows, about, ranks, folder)
        finally:
            self.close()
            ranks.close()
        return scores

    def _report(
        self,
        scores: Mapping[str, float],
        rows: list[dict[str, Any]],
        about: dict[str, Any],
        ranks: Ranks,
        folder: Path | None,
    ) -> None:
        if ranks.rank != 0:
            return
        about = {
            **about,
            "sequences": len(self.sequences),
            "limit_sequences": self.limit_sequences,
            "ranks": ranks.size,
            **self.about(),
        }
        results = Results(self.name, scores, rows, about)
        results.print()
        if folder is not None:
            self.pack(folder)
            results.write(folder)
            self._write_page(folder)
            log.info("%s: results are in %s", self.name, folder)

    def _write_page(self, folder: Path) -> None:
        try:
            names = [sequence.name for sequence in self.sequences]
            write_material(folder, names, self.ranked_by, self.films_show, self.charts)
            write_report(folder)
        except Exception as error:  # the scores are written: no flaw of their picture may take them back
            log.warning("%s: report.html could not be written: %s", self.name, error)

    # Hooks

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the data set and the folder before any training, so that what is wrong with them is known at once."""
        if stage == "fit":
            self.history, self._tried = {}, None  # of another fit, in a notebook
        if stage in ("fit", "validate"):
            self._check_neighbours(trainer, stage)
            ranks = Ranks()
            try:
                with ranks.together():
                    _ = self.sequences
                    if self.output_dir is not None and ranks.rank == 0:
                        require_writable(Path(self.output_dir))
            finally:
                ranks.close()

    def _check_neighbours(self, trainer: pl.Trainer, stage: str) -> None:
        """Refuse what would give wrong scores, or none, without a word."""
        others: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(other, BenchmarkCallback) and other.name == self.name for other in others if other != self):
            raise ValueError(
                f"two benchmarks are called {self.name}: their scores would be logged as one. Give one of them a name "
                f"of its own in a file, under init_args: name: {self.name}_2"
            )
        if stage == "fit" and any(isinstance(o, WeightAveraging) for o in others[: others.index(self)]):
            raise ValueError(f"{self.name} would score weights that are not averaged: name WeightAveraging after it")
        stops = (o.monitor.startswith(f"{self.name}/") for o in others if isinstance(o, EarlyStopping))
        if stage == "fit" and self.every_n_epochs > 1 and any(stops):
            raise ValueError(f"EarlyStopping looks at {self.name} every epoch: set its every_n_epochs to 1")
        if stage == "validate" and trainer.limit_val_batches == 0:
            raise ValueError(f"{self.name} needs a pass of validation: leave trainer.limit_val_batches out")

    @property
    def state_key(self) -> str:
        """Tell benchmarks of a kind apart in a checkpoint."""
        return self._generate_state_key(name=self.name)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores so far, which a resumed run goes on from."""
        return {"history": self.history, "tried": self._tried}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the scores of the run that goes on."""
        self.history, self._tried = dict(state_dict["history"]), state_dict["tried"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a stage or stride that the module does not have before any training."""
        _ = self.extractor(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The score before training, where it is asked for; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            self._log_outside_validation(trainer, self._evaluate_in(trainer, pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run where the epoch is due."""
        if trainer.sanity_checking or (trainer.state.fn == "fit" and not self._is_due(trainer)):
            return
        scores = self._evaluate_in(trainer, pl_module)
        pl_module.log_dict(scores, rank_zero_only=False, sync_dist=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The score of the last step, where the run ends within an epoch; then what the training has changed."""
        if self._tried != trainer.global_step:
            self._log_outside_validation(trainer, self._evaluate_in(trainer, pl_module))
        if trainer.is_global_zero and len(self.history) > 1:
            first, last = min(self.history), max(self.history)
            rows = {step: self.history[step].items() for step in (first, last)}
            strip = len(self.name) + 1
            wide_console().print(
                scores_table(
                    {f"{self.name}, step {step}": {k[strip:]: v for k, v in row} for step, row in rows.items()}
                )
            )

    def _log_outside_validation(self, trainer: pl.Trainer, scores: dict[str, float]) -> None:
        if trainer.logger is not None and scores:
            trainer.logger.log_metrics(scores, step=trainer.global_step)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _evaluate_in(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
        folder, self._tried = self._folder(trainer), trainer.global_step
        try:
            scores = self.evaluate(self.extractor(pl_module), folder, _name_of(pl_module, trainer))
        except Exception as error:
            if self.fatal or trainer.state.fn != "fit":
                raise
            log.error("%s failed and the training goes on: %s", self.name, error)
            return {}
        if trainer.is_global_zero and trainer.logger is not None:
            self.draw(trainer.logger, trainer.global_step)
        self.history[trainer.global_step] = {f"{self.name}/{key}": value for key, value in scores.items()}
        return self.history[trainer.global_step]

    def _folder(self, trainer: pl.Trainer) -> Path:
        if self.output_dir is not None:
            return Path(self.output_dir)
        run = trainer.log_dir or trainer.default_root_dir
        moment = f"epoch={trainer.current_epoch:03d}-step={trainer.global_step:06d}"
        return Path(run) / "benchmarks" / self.name / moment


def _name_of(module: pl.LightningModule, trainer: pl.Trainer) -> str:
    """What is evaluated, in words: the method, its backbone, how long it has been trained or where it is from."""
    settings, step = module.hparams, trainer.global_step
    backbone = settings.get("spec") or settings.get("backbone") or ""
    since = f"step {step}" if trainer.state.fn == "fit" and step else trainer.ckpt_path
    return ", ".join(filter(None, [type(module).__name__, str(backbone), str(since or "")]))


def _progress(name: str, total: int, rank: int) -> Progress:
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[sequence]}"),
    ]
    return Progress(*columns, transient=True, disable=rank != 0 or total == 0)


__all__ = ["BenchmarkCallback", "BenchmarkError", "BenchmarkSequence"]
