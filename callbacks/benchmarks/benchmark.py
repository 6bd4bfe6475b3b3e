"""Base of all benchmarks: their definition, and the run over the sequences of a data set, on one rank or several."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from datamodules.reading.files import ProgressReport
from lightning_modules.backbones import build_feature_extractor, describe_network
from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

from .. import signals
from ..pictures import Picture, write_picture
from ..report import Chart, write_material, write_report
from .evaluation import Evaluation, RunContext
from .ranks import Ranks, distribute
from .results import Results, require_writable

log = logging.getLogger(__name__)


class Benchmark(ABC):
    """A data set, what tracks and scores its sequences, and the run over them: `evaluate`.

    A benchmark defines `name`, `read` and `start`, and declares `score_names`.

    Args:
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

    Raises:
        ValueError: for a number out of range.
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
        if limit_sequences is not None and limit_sequences < 1:
            raise ValueError(f"{type(self).__name__}: limit_sequences is {limit_sequences}, it must be at least 1")
        self.limit_sequences = limit_sequences
        self.predictions, self.changes = predictions, changes or {}
        self.stage, self.stride = stage, stride
        self.results: Results | None = None
        self.overlays: dict[str, Picture] = {}
        self.plots: dict[str, Picture] = {}
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
        return {name: getattr(self, name) for name in self.recorded}

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
        return self._sequences

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
                    evaluation.run(self._sequences_of(ranks))
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
                    **self._source(),
                    **({"history": list(history)} if history else {}),
                    **self.metadata(),
                    **evaluation.metadata(),
                }
                self.results, self.overlays = Results(self.name, scores, rows, metadata), context.overlays
                if ranks.rank == 0:
                    self.results.print()
                    if context.folder is not None:
                        self.plots = dict(evaluation.plots()) if rows else {}
                        evaluation.pack(context.folder)
                        self._report(self.results, charts, context.folder)
        return scores

    def _source(self) -> dict[str, Any]:
        """Return where the values of the protocol come from, where its name says that."""
        protocol = getattr(self, "protocol", None)
        known = isinstance(protocol, EvaluationProtocol) and protocol.origin(type(self).name, self.protocols_like)
        return {"protocol_source": known} if known else {}

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

    def _report(self, results: Results, charts: Sequence[Chart], folder: Path) -> None:
        """Write results, plots and page of a run."""
        for name, picture in self.plots.items():
            write_picture(folder / f"{name}.png", picture)
        results.write(folder)
        try:
            names = [sequence.name for sequence in self.sequences]
            write_material(folder, names, self.ranked_by, self.animations_show, charts, self.text_columns)
            write_report(folder)
        except Exception as error:  # the scores are written: no flaw of their page may take them back
            log.warning("%s: report.html could not be written: %s", self.name, error)
        log.info("%s: results are in %s", self.name, folder)
