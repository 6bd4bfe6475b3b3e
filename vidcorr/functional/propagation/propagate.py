"""Label propagation: the labels of a video's first frame are propagated by the similarity of features."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols import LabelProtocol
from ..device import PendingCopy, computing_in, to_device
from ..window_tiles import Neighbourhood
from .attention import BestMatches, average_all
from .coding import upsampled_argmax
from .comparison import FeatureTransform, comparison
from .memory import FrameMemory, SketchedMemory, kernel

CHECKED_TOGETHER = 32
"""Number of frames checked together on a GPU, because a check waits for the device."""
NEARBY = -1
"""Key of the memory whose frames are searched in the neighbourhood only; other keys are indices of frames."""
Search = Callable[..., BestMatches]
"""A search for the best matches of a frame; its argument `topk` is the number of matches."""
P = TypeVar("P", bound=LabelProtocol)
Array = Tensor | np.ndarray
"""A tensor, or a numpy array."""


def propagate_labels(
    features: Array | Iterable[Array],
    first_labels: Array,
    protocol: LabelProtocol,
    entering: Mapping[int, Array] | None = None,
) -> Iterator[Tensor]:
    """Propagate the labels of frame 0 through a video, one frame at a time.

    The labels of a frame are an average of the labels of its reference frames, weighted by the softmax of the feature
    similarities in a neighbourhood (VFS, appendix A). The result is exact. Memory does not grow with the length of the
    video: features and labels of the reference frames, and a workspace of the search.

    Args:
        features: (T, C, h, w), or an iterable of (C, h, w), read one frame at a time. Tensors or numpy arrays, here
            and below.
        first_labels: (L, h, w) float: soft labels or heat-maps on the feature grid.
        protocol: defines the reference frames, the searched cells, and the weights of matches.
        entering: frame index → (L, h, w): labels of objects that start at that frame, in channels with a value above
            0. They replace the propagated labels of these channels. The other channels are multiplied by 1 − s, with s
            in [0, 1] the sum of the given labels at the cell.

    Returns:
        Iterator over the frames: (L, h, w) float32 on the features' device; the first item is `first_labels`.

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or an entering frame that the video does
            not have.

    Example:
        >>> frame = torch.eye(4).view(4, 2, 2)
        >>> features = [frame, frame.flip(2)]  # left and right change places
        >>> first_labels = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        >>> protocol = LabelProtocol(name="own", context=1, topk=1, temperature=1, radius=None)
        >>> list(propagate_labels(features, first_labels, protocol))[1]
        tensor([[[0., 1.],
                 [0., 1.]]])
    """
    starting = {frame: torch.as_tensor(labels) for frame, labels in (entering or {}).items()}
    if isinstance(features, Tensor | np.ndarray):
        _check_entering(starting, len(features))
    return _frame_labels(LabelPropagator(torch.as_tensor(first_labels), protocol), features, starting)


def _frame_labels(
    propagator: "LabelPropagator", features: Iterable[Array], entering: dict[int, Tensor]
) -> Iterator[Tensor]:
    for item in features:
        yield propagator.step(torch.as_tensor(item), entering.get(propagator.frame))
    propagator.check_finite()
    _check_entering(entering, propagator.frame)


class Source(NamedTuple):
    """Reference frames that are searched together in the memory that holds them; a repeated index counts twice."""

    memory: FrameMemory
    frames: list[int]

    @property
    def slots(self) -> list[int]:
        """Slots of the frames in the memory."""
        return list(map(self.memory.slot, self.frames))


@dataclass(frozen=True, eq=False)
class References:
    """The reference frames of a step; features and labels are copied only if they are read.

    Attributes:
        frames: S indices. A reference that counts twice is listed twice. The first is the annotated frame, unless the
            protocol lists its references.
        sources: the same frames, grouped by the memory that holds their features and labels.
    """

    frames: list[int]
    sources: list[Source]

    @staticmethod
    def of(frames: Sequence[int], keys: Tensor, labels: Tensor, protocol: LabelProtocol) -> "References":
        """Return references with given features and labels, in memories of their own.

        Args:
            keys: (h, w, S, C), features of the frames.
            labels: (h, w, S, L), labels of the frames; gradients with respect to the labels are kept.
        """
        places = list(range(len(frames)))
        # neighbourhood → places in `frames` of the references that are searched in it
        neighbourhood_places = {Neighbourhood.of(protocol, keys.shape): places}
        if searches_all_of_first_frame(protocol):
            neighbourhood_places = {Neighbourhood(None): places[:1], Neighbourhood.of(protocol, keys.shape): places[1:]}
        sources: list[Source] = []
        for neighbourhood, members in neighbourhood_places.items():
            if not members:
                continue
            listed = [frames[place] for place in members]
            # every frame is kept to the end, so no slots for recent ones; a repeated frame has one slot
            memory = FrameMemory(listed, 0, keys[:, :, 0], labels[:, :, 0], neighbourhood)
            for frame, place in zip(listed, members, strict=True):
                # only labels keep gradients
                memory.write(frame, keys[:, :, place].detach(), labels[:, :, place])
            sources.append(Source(memory, listed))
        return References(list(frames), sources)

    @property
    def keys(self) -> Tensor:
        """(h, w, S, C), features of the references, source by source."""
        return torch.cat([source.memory.keys[:, :, source.slots] for source in self.sources], 2)

    @property
    def labels(self) -> Tensor:
        """(h, w, S, L), labels of the references, source by source."""
        return torch.cat([source.memory.labels[:, :, source.slots] for source in self.sources], 2)


class LabelPropagator:
    """A propagation step by step; several can run side by side over the frames of a video.

    It keeps features and labels of the reference frames in ring buffers, and nothing else of the video. A user's rule
    is a subclass that overrides `average`.

    Args:
        first_labels: (L, h, w) float, the labels of frame 0.
        protocol: every number that affects the result.

    Attributes:
        frame: index of the frame that the next step takes.
        network: the user's module, in a benchmark, `follow` or `predict_video`: for a rule with learnt numbers.

    Raises:
        ValueError: for labels that are not (L, h, w), or without a channel.

    Example:
        >>> still = F.one_hot(torch.arange(4)).float().T.view(4, 2, 2)  # another feature for each of 2 x 2 cells
        >>> labels = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> rule = LabelPropagator(labels, LabelProtocol(name="own", context=1, topk=1, temperature=1, radius=2))
        >>> rule.step(still).equal(labels), rule.step(still.flip(2)).equal(labels.flip(2))
        (True, True)
    """

    network: Any = None
    _compared: FeatureTransform
    _channels: int

    def __init__(self, first_labels: Tensor, protocol: LabelProtocol) -> None:
        if first_labels.ndim != 3:
            shape = tuple(first_labels.shape)
            raise ValueError(f"first_labels must be (L, h, w), got {shape}; encode_masks makes them of ids (H, W)")
        if not len(first_labels):
            raise ValueError("first_labels must have a channel or more, got none")
        self.protocol = protocol
        self.frame = 0
        self._first_labels = first_labels
        self._memories: dict[int, FrameMemory] = {}  # by `NEARBY`, or index of a frame that is searched everywhere
        self._start_channels: dict[int, Tensor] = {}  # start frame → mask of its channels, with "own-context"
        self._finite: list[Tensor] = []
        self._checked = 0

    @torch.no_grad()
    def step(self, features: Tensor, entering: Tensor | None = None) -> Tensor:
        """Take the features of the next frame and return its labels.

        Args:
            features: (C, h, w), with h and w of the labels.
            entering: (L, h, w): labels of objects that start at this frame, 0 in other channels; None: none start.

        Returns:
            (L, h, w) float32 (float64 if the protocol's precision is float64).

        Raises:
            ValueError: for shapes that do not fit those of frame 0, or labels that are not finite: on a GPU up to 32
                frames late, by `check_finite`.
        """
        self._check(features, entering)
        protocol = self.protocol
        with computing_in("float32", features.device):
            if self.frame == 0:
                self._channels = len(features)
                self._compared = comparison(features, protocol)
            query = self._compared(features)
            labels = self._propagate(query) if self.frame else to_device(self._first_labels, features.device)
            labels = labels.to(torch.float64 if protocol.precision == "float64" else torch.float32)
        # the given labels of frame 0 stay soft
        hard = protocol.label_feedback == "hard" and self.frame > 0
        # what later frames refer to
        fed_back = _harden(labels, protocol.feature_stride) if hard else labels
        if entering is not None:
            entering = to_device(entering, labels.device).to(labels.dtype)
            labels = self._enter(labels, entering)
            fed_back = self._enter(fed_back, entering)
        if protocol.own_context and (self.frame == 0 or entering is not None):
            # from now on the channels of objects that start here take labels only from frames since this one
            starting = entering if self.frame and entering is not None else labels
            self._start_channels[self.frame] = (starting > 0).flatten(1).any(1).to(labels)
        self._finite.append(labels.isfinite().all())
        if labels.device.type == "cpu" or len(self._finite) == CHECKED_TOGETHER:
            self.check_finite()
        # a memory may compute sketches, by products
        with computing_in("float32", features.device):
            self._write(query, fed_back.permute(1, 2, 0))
        self.frame += 1
        return labels

    def check_finite(self) -> None:
        """Check that the labels since the last check are finite; call it after the last frame.

        Raises:
            ValueError: if labels are not finite; names the first such frame.
        """
        if not self._finite:
            return
        finite = PendingCopy(torch.stack(self._finite)).wait().tolist()
        self._finite = []
        if not all(finite):
            frame = self._checked + finite.index(False)
            raise ValueError(f"the labels of frame {frame} are not finite: look for NaN in features and labels")
        self._checked += len(finite)

    def _write(self, query: Tensor, labels: Tensor) -> None:
        protocol = self.protocol
        # new memories: frames that they keep to the end, number of latest frames, and neighbourhood
        added = {}
        # objects start at this frame; the dict is filled with "own-context" only
        has_own_memory = self.frame in self._start_channels
        # here the protocol decides, whether objects start or not
        if self.frame == 0:
            has_own_memory = searches_all_of_first_frame(protocol)
            lasting, recent = protocol.kept_frames()
            # such a protocol lists no references, so frame 0 is its only lasting frame: kept in its own memory
            if has_own_memory:
                lasting = ()
            added[NEARBY] = (lasting, recent, Neighbourhood.of(protocol, query.shape))
        if has_own_memory:
            added[self.frame] = ((self.frame,), 0, Neighbourhood(None))
        # the compiled search takes addresses of float32 numbers on a CPU, and finds a number of best matches only
        is_plain = type(query) is Tensor and query.device.type == "cpu" and query.dtype == torch.float32
        is_sketched = protocol.topk is not None and is_plain and kernel() is not None
        new_memory = SketchedMemory if is_sketched else FrameMemory
        for source, (lasting, recent, neighbourhood) in added.items():
            self._memories[source] = new_memory(lasting, recent, query, labels, neighbourhood)
        for memory in self._memories.values():
            memory.write(self.frame, query, labels)

    def average(self, query: Tensor, references: "References") -> Tensor:
        """Return the labels of a frame as an average of its references' labels; a user's rule overrides this method.

        The default average follows the protocol. A rule may call it with another query, or with other references made
        by `References.of`. Afterwards the labels are normalised, if the protocol says so.

        Args:
            query: (h, w, C), features of the frame as the protocol compares features: of unit length, whitened
                components of unit length, or as they are.
            references: indices, features and labels of the reference frames.

        Returns:
            (h, w, L).

        Raises:
            ValueError: if query and references differ in shape.
        """
        protocol = self.protocol
        expected = references.sources[0].memory.keys[:, :, 0]
        if query.shape != expected.shape:
            raise ValueError(f"the query is {tuple(query.shape)}, a reference {tuple(expected.shape)}")
        # only labels keep gradients: `affinity_of_cells` needs no others
        if query.requires_grad:
            query = query.detach()
        # the same tensor if it fits: the memory recognises it and reuses its sketches
        query = query.to(expected)
        # then all references are in one memory: protocols refuse anything else
        if protocol.topk is None:
            (source,) = references.sources
            return average_all(query, source.memory.keys, source.memory.labels, source.slots, protocol)
        searches: list[Search] = []
        tables: list[Tensor] = []
        for source in references.sources:
            searches.append(partial(source.memory.best_matches, query, source.frames))
            tables.append(source.memory.labels)
        topk = protocol.topk
        if protocol.topk_ties == "cut":
            matches = [search(topk=topk) for search in searches]
        else:
            matches, topk = _matches_with_ties(searches, topk)
        return average_matches(tables, matches, topk, protocol.temperature)

    def _propagate(self, query: Tensor) -> Tensor:
        """Return labels (L, h, w) for queries (h, w, C), normalised as the protocol says."""
        protocol = self.protocol
        if self._start_channels:
            averages: list[Tensor] = []
            for start, channels in self._start_channels.items():
                averages.append(self._average_since(query, start) * channels)
            average = torch.stack(averages).sum(0)
        else:
            average = self._average_since(query, 0)
        labels = average.permute(2, 0, 1).contiguous()
        if protocol.normalise_labels and protocol.normalise_by == "labels":
            labels = labels / labels.sum(0, keepdim=True).clamp_min(1e-12)
        if protocol.foreground_gain != 1:
            labels[1:] *= protocol.foreground_gain
        return labels

    def _average_since(self, query: Tensor, start: int) -> Tensor:
        """Return the average (h, w, L) of the labels of the references since frame `start`."""
        frames = self.protocol.reference_frames(self.frame, start)
        memory_frames = {NEARBY: frames}  # memory → its references among the frames
        # `start`, the first of the frames, has a memory of its own
        if start in self._memories:
            memory_frames = {start: frames[:1], NEARBY: frames[1:]}
        sources: list[Source] = []
        for memory, members in memory_frames.items():
            if members:
                sources.append(Source(self._memories[memory], members))
        average = self.average(query, References(frames, sources))
        labels = sources[0].memory.labels[:, :, 0]
        # a user's rule may return anything
        if average.shape != labels.shape:
            rule = f"{type(self).__name__}.average"
            raise ValueError(f"{rule} must return {tuple(labels.shape)}, got {tuple(average.shape)}")
        return average.to(labels)

    def _enter(self, labels: Tensor, entering: Tensor) -> Tensor:
        """Return labels (L, h, w) combined with the labels of objects that start at this frame.

        A channel with a value above 0 in `entering` starts: it is replaced. The others, also the background, fade where
        the entering labels lie. With "own-context" all channels are blended by the sum of the entering labels.
        """
        total = entering.sum(0)
        # as HVC's code blends old and new labels
        if self.protocol.own_context:
            return labels * (1 - total) + entering * total
        starts = (entering > 0).flatten(1).any(1)
        uncovered = labels * (1 - total.clamp(0, 1))
        return torch.where(starts[:, None, None], entering, uncovered)

    def _check(self, features: Tensor, entering: Tensor | None) -> None:
        shape = self._first_labels.shape
        channels = self._channels if self.frame else len(features)
        if features.shape != (channels, *shape[1:]):
            wanted = f"({channels if self.frame else 'C'}, {shape[1]}, {shape[2]})"
            raise ValueError(
                f"features of frame {self.frame} must be {wanted} like the labels and the features of frame 0, "
                f"got {tuple(features.shape)}"
            )
        if entering is not None and entering.shape != shape:
            raise ValueError(
                f"entering labels of frame {self.frame} must be {tuple(shape)} like first_labels, "
                f"got {tuple(entering.shape)}"
            )


def with_rule_of(protocol: P, propagator: object) -> P:
    """Return a protocol with a user's rule of propagation in its name and digest; `LabelPropagator` is none."""
    rule = None if propagator is LabelPropagator else name_of_rule(propagator)
    # a name such as vfs+rule=X does not bring the code of X
    if protocol.rule not in (None, rule):
        raise ValueError(f"protocol {protocol.name!r}: a rule is code: set `propagator`, here {rule}")
    return protocol.with_changes(rule=rule)


def name_of_rule(propagator: object) -> str:
    """Return the name of a user's rule, `module.Class`, with the arguments of a `functools.partial`.

    Example:
        >>> name_of_rule(partial(LabelPropagator, protocol=None))
        'vidcorr.functional.propagation.propagate.LabelPropagator(protocol=None)'
    """
    if isinstance(propagator, partial):
        arguments = [*map(repr, propagator.args), *(f"{key}={value!r}" for key, value in propagator.keywords.items())]
        return f"{name_of_rule(propagator.func)}({', '.join(arguments)})"
    named = propagator if hasattr(propagator, "__qualname__") else type(propagator)
    return f"{named.__module__}.{named.__qualname__}"


def searches_all_of_first_frame(protocol: LabelProtocol) -> bool:
    """Return whether a protocol searches all of frame 0, but a neighbourhood in later references.

    Frame 0 is then always a reference. With a list of `references`, `first_frame_masked` has no effect.
    """
    return protocol.references is None and not protocol.first_frame_masked and protocol.radius is not None


def _matches_with_ties(searches: Sequence[Search], topk: int) -> tuple[list[BestMatches], int]:
    """Return the top-k matches of all sources, with all that equal the k-th, and how many those are at most."""
    # one more than k: it shows whether the k-th is tied
    count = topk + 1
    while True:
        matches = [search(topk=count) for search in searches]
        products = torch.cat([values for values, _ in matches], dim=2)
        top = products.topk(min(topk, products.shape[2])).values
        # finite, so that the padding of −inf is below it
        last = top.amin(2, keepdim=True).clamp_min(torch.finfo(top.dtype).min)
        have_no_more: list[Tensor] = []
        for values, _ in matches:
            # a source with fewer has returned all matches; one that pads them has a worst match of −inf, below the k-th
            if values.shape[2] == count:
                # NaN too ends the search
                have_no_more.append(~(values.amin(2, keepdim=True) >= last).any())
        # the one wait of a frame
        if not have_no_more or PendingCopy(torch.stack(have_no_more).all()).wait():
            kept = [(values.masked_fill(values < last, -torch.inf), cells) for values, cells in matches]
            return kept, count * len(kept)
        count *= 2


def average_matches(labels: Sequence[Tensor], matches: Sequence[BestMatches], topk: int, temperature: float) -> Tensor:
    """Return the average (h, w, L) of the labels at the best matches of all sources, weighted by the softmax.

    Args:
        labels: labels (h, w, S, L) of each source.
        matches: of each source products (h, w, k), and the keys' cells (h, w, k) as indices (y · w + x) · S + s.
        topk: number of best matches, among all sources, that count; others have weight 0.
    """
    average = torch.zeros_like(labels[0][:, :, 0])
    products = [values.to(average.dtype) for values, _ in matches]
    logits = torch.cat(products, dim=2).flatten(0, 1)
    top, choice = logits.topk(min(topk, logits.shape[1]))
    weights = torch.zeros_like(logits).scatter_(1, choice, (top / temperature).softmax(1))  # (cells, all matches)
    weights_by_source = weights.split([values.shape[2] for values in products], 1)
    for table, (_, cells), source_weights in zip(labels, matches, weights_by_source, strict=True):
        rows = F.embedding_bag(cells.flatten(0, 1), table.flatten(0, 2), per_sample_weights=source_weights, mode="sum")
        average += rows.view_as(average)
    return average


def _harden(labels: Tensor, stride: int) -> Tensor:
    """Return labels (L, h, w) as one-hot labels: a cell takes the winner at its upper left pixel of the input."""
    _, height, width = labels.shape
    at_input = upsampled_argmax(labels.float(), (height * stride, width * stride))
    winner = at_input[::stride, ::stride]
    return F.one_hot(winner.long(), len(labels)).permute(2, 0, 1).to(labels.dtype)


def _check_entering(entering: Mapping[int, Tensor], frames: int) -> None:
    beyond = sorted(frame for frame in entering if not 0 <= frame < frames)
    if beyond:
        raise ValueError(f"entering names frame {beyond[0]}, but the video has frames 0 to {frames - 1}")
