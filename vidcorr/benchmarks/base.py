"""Base of all benchmarks: a data set, a protocol and rules as a value, and the run that scores a network."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from .. import signals
from ..backbones import Encoder, EncoderSpec, Network, load, weights_digest
from ..backbones.extractor import eval_mode
from ..datasets.sequences import content_digest
from ..functional.device import random_state_kept
from ..functional.propagation.propagate import LabelPropagator, with_rule_of
from ..metrics.declared import Score
from ..progress import progress_bar
from ..protocols import EvaluationProtocol, LabelProtocol
from ..results.provenance import Provenance
from ..results.result import (
    Evaluated,
    ProtocolFacts,
    Result,
    Row,
    Setup,
    leave_one_out,
)
from ..tracking.frame_encoder import FrameEncoder
from ..videos.digests import file_digest
from ..videos.files import DataError, require_at_least, require_writable
from ..videos.folders import is_photo, names_in
from .network import NetworkLike, view_for
from .output import Output
from .ranks import Ranks, distribute

NAMES_OF_DATA = ("name", "read")
"""Attributes of a benchmark's class that say which data it scores."""
FEW_CELLS = 8
"""Cells along the shorter side of a map below which a score says little: a cell is an eighth of the frame."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A data set with its protocol and rules: a value, which no run changes.

    A subclass is a frozen dataclass whose fields are its arguments. It defines `name` (without an annotation: the
    default of the field), `read`, `score` and `scores`, and declares its scores in `declared`. If it has a field
    `protocol`, a protocol given by its name is replaced by the protocol itself; a named protocol has values for each
    benchmark. The sequences are distributed over the ranks by length; an error on any rank ends the benchmark on all
    ranks. A run leaves weights, buffers and modes of the network as they were, and torch's random state.

    Args:
        limit_sequences: only the first N, for a quick check; the result records it.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed if two benchmarks of a class run together; by default
            the class's.
        stage: stage of the encoder; None is the encoder's default.
        stride: pixels per feature cell; None is the backbone's default, 8 for a ResNet and the patch of a ViT. The
            protocol's name shows a stride that differs from the protocol's.

    Attributes:
        protocol_class: class of the protocols that the field `protocol` names; None without such a field.
        encoder: class of the encoder that `score` gets, called with the extractor and the protocol.
        propagator: the propagation of labels under a `LabelProtocol`; a subclass may bring a rule, which its results
            name.
        pooled: a score is not the mean of the values of the rows, but a ratio of sums, or a mean over groups of rows.
            Its confidence interval then comes from scores that leave out each sequence in turn.
        conditions: fact → its words in tables, `{}` for the value. Scores are comparable where these facts and the
            protocol agree. A value that is None, empty or False is left out. A subclass with a name or a `read` of its
            own states none of its base's, unless it repeats them: `conditions = Base.conditions`.
        usual: fact → its value in most papers, for which tables leave the words out.

    Raises:
        ValueError: for a number out of range, or an unknown protocol or change; at the start of a run that could not
            give the right scores.
    """

    protocol_class: ClassVar[type[EvaluationProtocol] | None] = None
    encoder: ClassVar[type[FrameEncoder]] = FrameEncoder
    propagator: ClassVar[Any] = LabelPropagator  # a `Propagator`; mypy takes it for a method
    pooled: ClassVar[bool] = False
    conditions: ClassVar[Mapping[str, str]] = {}
    usual: ClassVar[Mapping[str, Any]] = {}
    limit_sequences: int | None = None
    changes: dict[str, Any] | None = field(default=None, hash=False)  # a dictionary has no hash
    name: str = ""
    stage: str | None = None
    stride: int | None = None

    def __init_subclass__(cls, **options: object) -> None:
        """Empty the `conditions` of a class that sets `name` or `read`, unless it sets `conditions` too."""
        super().__init_subclass__(**options)
        has_other_data = any(name in vars(cls) for name in NAMES_OF_DATA)
        if has_other_data and "conditions" not in vars(cls):
            cls.conditions = {}

    def __post_init__(self) -> None:
        """Check the numbers; make the protocol of its name, the `changes` and a user's rule of propagation."""
        kind = type(self).__name__
        if self.limit_sequences is not None:
            require_at_least(1, kind, limit_sequences=self.limit_sequences)
        object.__setattr__(self, "name", self.name or type(self).name)
        protocol_class = self.protocol_class
        if protocol_class is None and self.changes:
            raise ValueError(f"{kind}: has no protocol, so it takes no changes")
        if protocol_class is not None:
            protocol = protocol_class.named(self.protocol, benchmark_in_protocols(type(self)), changes=self.changes)
            if isinstance(protocol, LabelProtocol):
                # a user's rule of propagation becomes a part of the protocol's name
                protocol = with_rule_of(protocol, type(self).propagator)
            object.__setattr__(self, "protocol", protocol)

    # For subclasses

    @abstractmethod
    def read(self) -> Sequence[Any]:
        """Open the data set: sequences with a `name` and `num_frames`.

        Raises:
            DataError: for every fault of the data that can be found without decoding them.
        """

    @abstractmethod
    def score(self, sequence: Any, encoder: Any, output: Output) -> Sequence[Row]:
        """Track and score a sequence of `read` by the network under the protocol: its rows, or none."""

    @abstractmethod
    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the scores of rows, as fractions: of a run, of a stored result, or of all sequences but one."""

    @property
    def declared(self) -> tuple[Score, ...]:
        """Every score that the benchmark may give, the most important first.

        A score that is not declared counts as a fraction, more being better. Tables show the first three. Pages rank
        sequences by the first one, if their rows have a column of its name.
        """
        return ()

    @property
    def score_names(self) -> tuple[str, ...]:
        return tuple(score.name for score in self.declared)

    @property
    def protocol(self) -> Any:
        return None

    def view_options(self, encoder: Encoder) -> dict[str, Any]:
        """Return the arguments with which the benchmark takes a view of an encoder: its stage and stride."""
        return {"stage": self.stage, "stride": self.stride}

    def facts(self, rows: Sequence[Row], encoder: Any) -> dict[str, Any]:
        """Return the facts that the scores depend on, besides network and protocol: the `data` of the result.

        By default these are the benchmark's attributes that `conditions` names.
        """
        return {name: getattr(self, name) for name in self.conditions if hasattr(self, name)}

    def conditions_in_words(self, facts: Mapping[str, object]) -> list[str]:
        """Return the conditions of a result in words, from its `data`; `conditions` gives the words of each fact.

        Left out are values that are empty or `usual`, and words that repeat the name of the benchmark: a user's own set
        may be called by its split.

        Example:
            >>> from vidcorr import DavisBenchmark
            >>> davis = DavisBenchmark("/data/DAVIS", resolution="240p")
            >>> davis.conditions_in_words({"year": 2017, "split": "val", "resolution": "240p"})
            ['2017', 'val', '240p']
            >>> davis.conditions_in_words({"year": 2017, "split": None, "resolution": "480p"})
            ['2017']
        """
        texts: list[str] = []
        for name, template in self.conditions.items():
            value = facts.get(name)
            text = template.format(value) if value and value != self.usual.get(name) else ""
            if text not in ("", self.name):
                texts.append(text)
        return texts

    def doubts(self, rows: Sequence[Row], scores: Mapping[str, float]) -> list[str]:
        """Return sentences on what is doubtful about the scores of rows; results show them beside the scores."""
        return []

    def finish(self, result: Result, output: Output) -> None:  # noqa: B027  # most benchmarks write none
        """Write further files of a run, before results.json; only the first rank calls it."""

    def held_out(self) -> Collection[str]:
        """Return the videos that a training must leave out, because the benchmark scores them.

        These are real, absolute paths of folders of frames; and names without suffix, which mean every training video
        of the name. By default the folders of the scored sequences.
        """
        folders: set[str] = set()
        for frames in self._frames_on_disk:
            folders.update(map(os.path.realpath, {frame.parent for frame in frames}))
            # frames may be links to another folder
            folders.add(os.path.dirname(os.path.realpath(frames[0])))
        return folders

    def scored_among(self, videos: Collection[str]) -> list[str]:
        """Return the training videos, real paths or names, that the benchmark scores, and copies of sequences.

        A copy is a folder whose first and last pictures are those of a scored sequence, byte by byte.
        """
        scored = set(videos).intersection(self.held_out())
        sizes = {frames[0].stat().st_size for frames in self._frames_on_disk}
        for video in filter(os.path.isabs, videos):
            _, names = names_in(video)
            pictures = [Path(video, name) for name in names if is_photo(name)]
            # a comparison of sizes first, since it reads no picture
            may_be_copy = bool(pictures) and pictures[0].stat().st_size in sizes
            if may_be_copy and _digest_of_ends(pictures) in self._digests_of_ends:
                scored.add(video)
        return sorted(scored)

    @cached_property
    def _frames_on_disk(self) -> list[Sequence[Path]]:
        return [sequence.frames for sequence in self.sequences if getattr(sequence, "frames", ())]

    @cached_property
    def _digests_of_ends(self) -> set[str]:
        return set(map(_digest_of_ends, self._frames_on_disk))

    # Use

    @cached_property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once; ValueError for sequences without `name` or `num_frames`."""
        sequences = self.read()[: self.limit_sequences]
        for sequence in sequences[:1]:
            absent = [name for name in ("name", "num_frames") if not hasattr(sequence, name)]
            if absent:
                kinds = f"{type(self).__name__}.read: a sequence, {type(sequence).__name__}"
                raise ValueError(f"{kinds}, has no {' and no '.join(absent)}")
        return sequences

    @cached_property
    def digests(self) -> dict[str, str]:
        """Name of a sequence → digest of its data: it differs where other data have the same name."""
        # a file that several sequences share is read once
        digest_of = cache(file_digest)
        return {sequence.name: content_digest(sequence, digest_of) for sequence in self.sequences}

    def evaluate(
        self, network: NetworkLike, folder: str | Path | None = None, name: str | None = None, *, shared: bool = False
    ) -> Result:
        """Score a network.

        Args:
            network: a module, a checkpoint's path, a name ("dino-s16", "timm:NAME", "torchvision:NAME@STAGE/STRIDE"),
                `package.module:callable`, or a feature extractor, whose stage and stride then count. A network by name
                runs on the GPU, if there is one.
            folder: folder of results, predictions and pictures; None writes nothing.
            name: name of the network for console and results; None takes the description from the network.
            shared: share the sequences among the ranks of the process group; every rank must call it.

        Returns:
            The result, with its scores as fractions, for example `J&F-Mean`.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: for faulty data.
            ValueError: if the network cannot be built or lacks the features.
        """
        with Ranks(shared) as ranks, random_state_kept():
            with ranks.together():
                if isinstance(network, str | Path):
                    network = EncoderSpec(str(network))
                encoder = load(network)
                extractor = view_for(self, network, encoder)
                if isinstance(network, EncoderSpec):
                    name = name or network.name
                described = Network.of(encoder, name)
            return self.run(extractor, described, Output(folder), ranks=ranks)

    def run(
        self,
        extractor: nn.Module,
        network: Network,
        output: Output,
        *,
        ranks: Ranks,
        past: Sequence[Evaluated] = (),
        at: tuple[int, int] | None = None,
    ) -> Result:
        """Score the features of a network, for callers that hold them; others call `evaluate`.

        Args:
            extractor: the features of a network, as `view_for` returns them; or a video encoder.
            network: description of the network, for the result; the digest of the weights is added.
            ranks: the ranks that share the sequences: each calls it, and gets the same result from the rows of all.
            past: earlier evaluations of the same training, for the result.
            at: epochs and optimiser steps of the training so far; None outside a training.

        Raises:
            BenchmarkError: on every rank, if any of several ranks fails; a single rank raises its own error.
        """
        began = time.perf_counter()
        with random_state_kept(), eval_mode(extractor), torch.inference_mode():
            with ranks.together():
                if output.folder is not None:
                    require_writable(output.folder)
                step = network.step if at is None else at[1]
                network = network.model_copy(update={"digest": weights_digest(extractor), "step": step})
                frame_encoder = type(self).encoder(extractor, self.protocol)
                own_rows = self._score_share(ranks, frame_encoder, output)
            rows = sorted_rows(chain.from_iterable(ranks.gather(own_rows)), self.name)
            # by these `_result` may doubt the scores; a rank knows them for its own sequences alone
            frame_encoder.constant = any(ranks.gather(frame_encoder.constant))
            frame_encoder.least_side = min(ranks.gather(frame_encoder.least_side))
            with ranks.together():
                result = self._result(network, rows, frame_encoder)
                history = list(past)
                if at is not None:
                    history.append(Evaluated(epoch=at[0], step=at[1], scores=result.scores))
                run_facts = {"seconds": round(time.perf_counter() - began, 2), "ranks": ranks.size}
                result = result.model_copy(update={"history": tuple(history), **run_facts})
                if ranks.rank == 0:
                    result.print()
                    self.finish(result, output)
                    output.finish(result)
        return result

    def _result(self, network: Network, rows: Sequence[Row], frame_encoder: FrameEncoder) -> Result:
        """Return the result of the rows of all sequences, which are sorted by name; `run` adds history and duration."""
        scores = self.scores(rows) if rows else {}
        facts = dict(self.facts(rows, frame_encoder))
        conditions = [*self.conditions_in_words(facts), f"{len(self.sequences)} sequences"]
        short_sides = [min(sequence.size) for sequence in self.sequences if hasattr(sequence, "size")]
        if short_sides:
            # for a note on small, enlarged frames
            facts["short_sides"] = [min(short_sides), max(short_sides)]
        doubts = list(self.doubts(rows, scores))
        if frame_encoder.constant:
            doubts.append("all cells of a first frame have the same features: scores are chance")
        if frame_encoder.least_side < FEW_CELLS:
            doubts.append(f"maps have {frame_encoder.least_side} cells along a side, too few to compare networks")
        extractor = frame_encoder.extractor
        # `self.protocol` as fitted to this network; None if nothing is tracked
        used = frame_encoder.protocol
        protocol = ProtocolFacts() if used is None else ProtocolFacts(**used.facts())
        setup = Setup(layer=extractor.stage, stride=extractor.stride, input=frame_encoder.input, protocol=protocol)
        result = Result(
            benchmark=self.name,
            network=network,
            scores=scores,
            # intervals of a score that is no mean of rows need its values without each sequence
            without=leave_one_out(rows, self.scores) if self.pooled else {},
            stage=setup,
            rows=rows,
            sequences=[sequence.name for sequence in self.sequences],
            digests=self.digests,
            conditions=conditions,
            limit_sequences=self.limit_sequences,
            data=facts,
            # the protocol as it was chosen
            protocol_source={} if self.protocol is None else self.protocol.origin(),
            declared=self.declared,
            doubts=doubts,
            provenance=Provenance.now(),
            seconds_of=frame_encoder.watch.seconds,
        )
        # a user's class may leave `pooled` False though its scores are no means of the rows' columns
        if not self.pooled and result.contradiction():
            result = result.model_copy(update={"without": leave_one_out(rows, self.scores)})
        return result.require_sound()

    def _score_share(self, ranks: Ranks, frame_encoder: FrameEncoder, output: Output) -> list[Row]:
        """Score the sequences of this rank; the first rank shows the progress in frames."""
        sequences = self.sequences
        frames = [sequence.num_frames for sequence in sequences]
        work = [_work_of(sequence, frame_encoder) for sequence in sequences]
        indices = distribute(work, ranks.size)[ranks.rank]
        total = sum(frames[index] for index in indices)
        rows: list[Row] = []
        with progress_bar(self.name, total, "frames", silent=ranks.rank != 0) as progress:
            for index in indices:
                signals.check()
                name = sequences[index].name
                try:
                    rows += self.score(sequences[index], frame_encoder, output)
                except ValueError as error:
                    # the message names the place already
                    if isinstance(error, DataError) or name in str(error):
                        raise
                    raise ValueError(f"{name}: {error}") from error
                progress.update(frames[index])
        return rows


def _digest_of_ends(frames: Sequence[Path]) -> str:
    return file_digest(frames[0]) + file_digest(frames[-1])


def _work_of(sequence: Any, frame_encoder: FrameEncoder) -> int:
    """Return the pixels that the network sees in all frames; the frames, for a sequence without a `size`."""
    size = getattr(sequence, "size", None)
    if size is None:
        return int(sequence.num_frames)
    height, width = frame_encoder.input_sizes(size).seen
    return int(sequence.num_frames * height * width)


def benchmark_in_protocols(kind: type[Benchmark]) -> str | None:
    """Return the first `name` of a class and its bases for which protocols.yaml lists values; None without one.

    A named protocol then takes the values of its `default_benchmark`.

    Example:
        >>> from vidcorr import DavisBenchmark
        >>> class Mine(DavisBenchmark):
        ...     name = "mine"
        >>> benchmark_in_protocols(Mine)
        'davis'
    """
    assert kind.protocol_class is not None
    sources = kind.protocol_class.sources().values()
    benchmarks_with_values = set().union(*(source.values for source in sources))
    for base in kind.__mro__:
        name = vars(base).get("name")
        if name in benchmarks_with_values:
            return str(name)
    return None


def sorted_rows(rows: Iterable[Row], benchmark: str = "") -> list[Row]:
    """Return rows sorted by `Row.order`, so that sums over them do not depend on the ranks that scored them.

    Raises:
        ValueError: if two rows have one name.

    Example:
        >>> rows = [Row(video="bike", object=number) for number in ("10", "2")]
        >>> [row.name for row in sorted_rows([*rows, Row(video="a")])]
        ['a', 'bike_2', 'bike_10']
    """
    ordered = sorted(rows, key=attrgetter("order"))
    for row, following in pairwise(ordered):
        if row.name == following.name:
            raise ValueError(f"{benchmark}: scored more than once: {row.name}; sequences need different names")
    return ordered


def counts_of(rows: Iterable[Row], name: str) -> list[Any]:
    """Return the entry of a name in the `counts` of each row, in the order of `sorted_rows`."""
    return [row.counts[name] for row in sorted_rows(rows)]
