"""Base of all benchmarks: a data set, a protocol and rules as a value."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from ..backbones import build_feature_extractor
from ..functional.device import on_device, random_state_kept
from ..functional.evaluation_protocol import EvaluationProtocol
from ..results.page import Chart
from ..results.result import Evaluated, Network, Result, Row, Shown
from .identity import identity_of
from .network import NetworkLike, NetworkSpec
from .ranks import Ranks
from .run import Run, Scorer, run


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A data set with its protocol and rules: a value, which no run changes.

    A subclass is a frozen dataclass whose fields are its arguments. It defines `default_name`, `read`, `scorer` and
    `scores`, and declares `score_names`. The sequences are distributed over the ranks by length; an error on any rank
    ends the benchmark on all ranks. A run leaves weights, buffers and modes of the network as they were, and torch's
    random state.

    Args:
        limit_sequences: only the first N, for a quick check; the result records it.
        predictions: write the predictions, if the benchmark has files for them.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed if two benchmarks of a class run together; by default
            `default_name`.
        stage: stage of the encoder, or a list of stages with separate scores; None is the encoder's default.
        stride: pixels per feature cell; None is the backbone's default, 8 for a ResNet and the patch of a ViT. The
            protocol's name shows a stride that differs from the protocol's.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    default_name: ClassVar[str]
    rules_version: ClassVar[int] = 1
    """Part of the key of a stored result: raise it with every change of the rules that changes scores."""
    protocol_kind: ClassVar[type[EvaluationProtocol] | None] = None
    """Class of the protocols that the field `protocol` names; None without such a field."""
    protocols_like: ClassVar[tuple[str, ...]] = ("davis",)
    """Fallback benchmarks, for protocols without values for this benchmark."""
    shares_passes: ClassVar[bool] = False
    """Protocols that see frames alike share a pass of the network."""
    pooled: ClassVar[bool] = False
    """The scores are no means over the values of the rows, but ratios of sums, or means over groups of rows."""
    text_columns: ClassVar[tuple[str, ...]] = ()
    """Text columns of the rows, in addition to Stage and Sequence."""
    features_on_grid: ClassVar[bool] = True
    """Feature maps have a cell per `stride` pixels of the frame; False: of crops, whose maps may have any size."""
    recorded: ClassVar[tuple[str, ...]] = ()
    """Arguments that results.json states."""
    animations_show: ClassVar[str] = ""
    """Caption of the animations: the drawings over the frames."""

    limit_sequences: int | None = None
    predictions: bool = True
    changes: dict[str, Any] | None = field(default=None, hash=False)  # a dictionary has no hash, nor has a list
    name: str = ""
    stage: str | list[str] | None = field(default=None, hash=False)
    stride: int | None = None

    def __init_subclass__(cls) -> None:
        """Refuse a constructor of its own: a stored result is found by the benchmark's fields."""
        super().__init_subclass__()
        if "__init__" in vars(cls):
            raise TypeError(
                f"{cls.__name__}: declare the arguments as fields of a @dataclass(frozen=True), no __init__"
            )

    def __post_init__(self) -> None:
        if self.limit_sequences is not None and self.limit_sequences < 1:
            raise ValueError(f"{type(self).__name__}: limit_sequences is {self.limit_sequences}, it must be at least 1")
        object.__setattr__(self, "name", self.name or self.default_name)
        kind = self.protocol_kind
        if kind is not None:
            protocol = kind.named(self.protocol, self.default_name, self.protocols_like, self.changes)
            object.__setattr__(self, "protocol", protocol)
        elif self.changes and self.protocol is None:
            raise ValueError(f"{type(self).__name__}: has no protocol, so it takes no changes")

    # For subclasses

    @abstractmethod
    def read(self) -> Sequence[Any]:
        """Open the data set.

        Raises:
            DataError: for every fault of the data that can be found without decoding them.
        """

    @abstractmethod
    def scorer(self, extractor: nn.Module, protocols: Sequence[Any]) -> Scorer:
        """Return what tracks and scores the sequences of a run.

        Args:
            extractor: the features of a network, in eval mode; or a video encoder.
            protocols: the protocols of the run; (None,) for a benchmark without protocols.
        """

    @abstractmethod
    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the scores of rows, as fractions: of a run, of a stored result, or of all sequences but one.

        Args:
            rows: at least one row, all of one stage.
        """

    @property
    def score_names(self) -> tuple[str, ...]:
        """Every score that the benchmark may give, without its name and stage; empty: not declared."""
        return ()

    less_is_better: ClassVar[tuple[str, ...]] = ()
    """Score names of which less is better, such as errors; of the others more is."""

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """Columns of the rows; their mean ranks the sequences in the report."""
        return ()

    @property
    def protocol(self) -> Any:
        """The protocol of `evaluate`; None for a benchmark that has none."""
        return None

    def extractor(self, encoder: Any) -> nn.Module:
        """Return the feature extractor of an encoder, at the benchmark's stage and stride."""
        return build_feature_extractor(encoder, self.stage, self.stride)

    def data(self) -> dict[str, Any]:
        """Return the facts of the data that the scores depend on: the arguments named in `recorded`."""
        return {name: getattr(self, name) for name in self.recorded}

    def counts_of(self, rows: Sequence[Row], name: str) -> list[Any]:
        """Return the counts of a name in each row, in the order in which scores sum rows."""
        return [row.counts[name] for row in self.in_order(rows)]

    def facts_of_rows(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        """Return facts about the rows of a run, for the result; by default none.

        Args:
            rows: name of a stage → its rows.
        """
        return {}

    def charts(self, rows: Sequence[Row]) -> Sequence[Chart]:
        """Return charts over all sequences for the report, from the rows of the last stage; by default none."""
        return ()

    def remarks(self, result: Result) -> Sequence[str]:
        """Return warnings about a finished result; by default none."""
        return ()

    def tables(self, result: Result) -> dict[str, str]:
        """Return tables of a finished result, as path in its folder → text; by default none."""
        return {}

    def packed(self) -> dict[Path, Path]:
        """Return the predictions of predictions.zip: file below the predictions → place in it; by default none."""
        return {}

    def refuse_training_on(self, videos: set[str]) -> None:  # noqa: B027  # most benchmarks refuse none
        """Raise if a training on videos, given by their names, would make scores wrong.

        Raises:
            ValueError: naming a video.
        """

    # Use

    @property
    def score_keys(self) -> tuple[str, ...]:
        """Keys of all scores that may be logged, known before any work; empty if the class declares none."""
        prefixes = [self.name]
        if isinstance(self.stage, list):
            prefixes = [f"{self.name}/{stage}" for stage in self.stage]
        return tuple(map("/".join, product(prefixes, self.score_names)))

    @cached_property
    def data_set(self) -> Sequence[Any]:
        """The whole data set, read once."""
        return self.read()

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run."""
        return self.data_set[: self.limit_sequences]

    def sources(self) -> Sequence[Path]:
        """Return files that scores depend on, besides files of the data set and arguments that name a file."""
        return ()

    def identity(self) -> dict[str, Any]:
        """Return everything that scores depend on, except network and protocol, as plain values."""
        return identity_of(self)

    def evaluate(
        self,
        network: NetworkLike,
        folder: str | Path | None = None,
        name: str | Network | None = None,
        *,
        shared: bool = False,
    ) -> Result:
        """Score a network by the benchmark's protocol.

        Args:
            network: a module, a checkpoint's path, a name ("dino-s16", "timm:NAME", "torchvision:NAME@STAGE/STRIDE"),
                `package.module:callable`, or a feature extractor, whose stage and stride then count.
            folder: folder of results, predictions and pictures; None writes nothing.
            name: name of the network for console and results, or its whole description; None takes the description
                from the network.
            shared: share the sequences among the ranks of the process group; every rank must call it.

        Returns:
            The result, with its scores as fractions, for example `J&F-Mean`; with several stages `res4/J&F-Mean`.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: for faulty data.
            ValueError: if the network cannot be built or lacks the features.
        """
        with random_state_kept():
            features, described = self._features_of(network, name, shared)
            return self.run(features, described, [self.protocol], folder, shared=shared).results[0]

    def evaluate_protocols(
        self,
        network: NetworkLike,
        protocols: Sequence[Any],
        name: str | Network | None = None,
        *,
        shared: bool = False,
    ) -> list[Result]:
        """Score a network by several protocols, if possible in one pass over the frames.

        Args:
            network: a module, a checkpoint's path, a name, `package.module:callable`, or a feature extractor.
            protocols: for label propagation, protocols with equal `values_of("pass")`: network input, data, scoring.
            name: name of the network for the results, or its whole description; None takes the description from the
                network.
            shared: share the sequences among the ranks of the process group; every rank must call it.

        Returns:
            A result per protocol.
        """
        passes = [[protocol] for protocol in protocols]
        if self.shares_passes:
            passes = [list(protocols)]
        results: list[Result] = []
        with random_state_kept():
            features, described = self._features_of(network, name, shared)
            for protocols_of_pass in passes:
                results += self.run(features, described, protocols_of_pass, shared=shared).results
        return results

    def _features_of(self, given: NetworkLike, name: str | Network | None, shared: bool) -> tuple[nn.Module, Network]:
        """Return the extractor and the description of a network; a network by name runs on the GPU, if there is one."""
        with Ranks(shared) as ranks, ranks.together():
            spec = NetworkSpec.of(given)
            encoder = spec.build()
            extractor = spec.extractor(encoder, self)
            if spec.is_named:
                extractor = on_device(extractor)
                name = name or spec.row
            if not isinstance(name, Network):
                name = Network.of(encoder, name)
            return extractor, name

    def run(
        self,
        extractor: nn.Module,
        network: Network,
        protocols: Sequence[Any],
        folder: str | Path | None = None,
        *,
        shared: bool = False,
        past: Sequence[Evaluated] = (),
        at: tuple[int, int] | None = None,
    ) -> Run:
        """Score the features of a network in one pass over the frames.

        Args:
            extractor: the features of a network, as `extractor` returns them; or a video encoder.
            network: description of the network, for the result; the digest of the weights is added.
            protocols: protocols of the pass; a single one if there is a folder.
            folder: folder of results, predictions and pictures; None writes nothing.
            shared: share the sequences among the ranks of the process group; every rank must call it.
            past: earlier evaluations of the same training, for the result.
            at: epochs and optimiser steps of the training so far; None outside a training.

        Returns:
            The results and the pictures for a logger.
        """
        place = None if folder is None else Path(folder)
        return run(self, extractor, network, protocols, place, shared=shared, past=past, at=at)

    # What a run asks

    def under(self, protocol: Any) -> Self:
        """Return the benchmark with another protocol, over the same data set."""
        if self.protocol_kind is None or protocol == self.protocol:
            return self
        values: dict[str, Any] = {"protocol": protocol, "changes": None}
        other = replace(self, **values)
        vars(other)["data_set"] = self.data_set
        return other

    def in_order(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows by name: the order in which scores sum them, whatever rank they come from.

        Raises:
            ValueError: if a name comes twice, or the rows belong to several stages.
        """
        if len({row.stage for row in rows}) > 1:
            raise ValueError(f"{self.name}: rows of several stages; score each stage by itself")
        names = Counter(row.name for row in rows)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(
                f"{self.name}: scored more than once: {', '.join(twice[:5])}; sequences need different names"
            )
        return sorted(rows, key=attrgetter("name"))

    def source_of_protocol(self) -> dict[str, str]:
        """Return the publication of the protocol, and the fields that it leaves open; empty without a protocol."""
        protocol = self.protocol
        if isinstance(protocol, EvaluationProtocol):
            return protocol.origin()
        return {}

    def shown(self, rows: Mapping[str, Sequence[Row]]) -> Shown:
        """Return the content of report.html beside the scores.

        Args:
            rows: name of a stage → its rows.
        """
        last = list(rows.values())[-1]
        charts = self.charts(last) if last else ()
        return Shown(
            ranked_by=self.ranked_by,
            animations=self.animations_show,
            charts=[chart.plain() for chart in charts],
            text_columns=self.text_columns,
        )
