"""Label propagation: the labels of a video's first frame, propagated through it by the similarity of features."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compactness import compact_windows
from ..transfer import PendingCopy, to_device
from .attention import WORKSPACE, LocalAttention
from .label_coding import decode_masks
from .protocol import PropagationProtocol
from .references import ReferenceMemory, average_of_matches, kept_frames, looks_everywhere, reference_frames
from .sharing import SharedMatches
from .tiles import Neighbourhood

CHECKED_TOGETHER = 32
"""Frames whose labels are checked together on a GPU, where each check waits for the device."""


def propagate_labels(
    features: Tensor | Iterable[Tensor],
    first_labels: Tensor,
    protocol: PropagationProtocol,
    entering: Mapping[int, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Carry the labels of frame 0 through a video, one frame at a time.

    The labels of a frame are an average of the labels of its reference frames, weighted by the softmax of the feature
    similarities in a neighbourhood (VFS, appendix A). Exact, within memory that the length of the video does not move:
    features and labels of the reference frames, and the workspace of a `LabelPropagator`.

    Args:
        features: (T, C, h, w), or an iterable of (C, h, w), read one frame at a time.
        first_labels: (L, h, w) float, L <= 255: soft labels or heat-maps on the feature grid.
        protocol: defines which frames are references, which cells are searched, and how matches are weighted.
        entering: frame number → (L, h, w): labels of objects that start at that frame. The channels that hold a value
            above 0 are theirs. The given labels replace what was propagated in these channels; the other channels are
            multiplied by 1 − s, where s in [0, 1] is the sum of the given labels at the cell, so that they are zero
            where the object is.

    Returns:
        Iterator of (L, h, w) float32 on the features' device, one per frame; the first is `first_labels`.

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or an entering frame that the video does
            not have.
    """
    entering = dict(entering or {})
    if isinstance(features, Tensor):
        if features.ndim != 4:
            raise ValueError(f"features must be (T, C, h, w) or frames of (C, h, w), got {tuple(features.shape)}")
        _check_entering(entering, len(features))
    propagator = LabelPropagator(first_labels, protocol)
    return _frames(propagator, features, entering)


def _frames(propagator: "LabelPropagator", features: Iterable[Tensor], entering: dict[int, Tensor]) -> Iterator[Tensor]:
    for item in features:
        yield propagator.step(item, entering.get(propagator.frame))
    propagator.check_finite()
    _check_entering(entering, propagator.frame)


class _Source(NamedTuple):
    """Reference frames in a memory, and the attention that searches them."""

    attention: LocalAttention
    memory: ReferenceMemory
    frames: list[int]


class LabelPropagator:
    """One propagation, step by step, so that several can run side by side over the frames of a video.

    Keeps a ring buffer of the features and labels of the reference frames, and nothing else of the video.

    Args:
        first_labels: (L, h, w) float, the labels of frame 0.
        protocol: every number that affects the result.
        workspace: bytes for intermediate products, which no result depends on.
        shared: matches in common with other propagators of the same features, see `SharedMatches`.

    Attributes:
        frame: number of the frame that the next step takes.
    """

    def __init__(
        self,
        first_labels: Tensor,
        protocol: PropagationProtocol,
        workspace: int = WORKSPACE,
        shared: SharedMatches | None = None,
    ) -> None:
        if first_labels.ndim != 3 or not first_labels.is_floating_point():
            raise ValueError(
                f"first_labels must be (L, h, w) float, got {tuple(first_labels.shape)} {first_labels.dtype}"
            )
        if not 1 <= len(first_labels) <= 255:
            raise ValueError(f"first_labels must have 1 to 255 channels, got {len(first_labels)}")
        self.protocol = protocol
        self.frame = 0
        self._first_labels = first_labels
        self._shared = shared
        self._finite: list[Tensor] = []  # of the frames that are not checked yet
        self._checked = 0
        self._nearby = LocalAttention(Neighbourhood(protocol.radius, protocol.neighbourhood), workspace)
        self._anywhere = LocalAttention(Neighbourhood(None), workspace)
        self._memory: ReferenceMemory | None = None  # made when the size of the first features is known
        self._everywhere: dict[int, ReferenceMemory] = {}  # start frames that no neighbourhood restricts
        self._starting: dict[int, Tensor] = {}  # start frame → which channels start there, with "own-context"

    @torch.no_grad()
    def step(self, features: Tensor, entering: Tensor | None = None) -> Tensor:
        """Take the features of the next frame and return its labels.

        Args:
            features: (C, h, w), h and w those of the labels.
            entering: (L, h, w): labels of objects that start at this frame.

        Returns:
            (L, h, w) float32 (float64 if that is the protocol's precision).
        """
        self._check(features, entering)
        dtype = getattr(torch, self.protocol.precision)
        with full_precision(features.device):
            features = features.to(torch.float64 if dtype == torch.float64 else torch.float32)
            if self.protocol.feature_normalisation == "l2":
                features = features / features.square().sum(0).sqrt().clamp_min(1e-12)
            query = features.to(dtype).permute(1, 2, 0).contiguous()
            labels = _like(self._first_labels, features) if self.frame == 0 else self._propagate(query)
        hard = self.protocol.label_feedback == "hard" and self.frame > 0
        fed_back = _harden(labels, self.protocol.feature_stride) if hard else labels
        own_context = self.protocol.entering == "own-context"
        if own_context and (self.frame == 0 or entering is not None):
            mask = labels if entering is None else _like(entering, labels)
            self._starting[self.frame] = (mask > 0).flatten(1).any(1).to(mask)
        if entering is not None:
            enter = _enter_softly if own_context else _enter
            entering = _like(entering, labels)
            labels, fed_back = enter(labels, entering), enter(fed_back, entering)
        self._finite.append(labels.isfinite().all())
        if labels.device.type == "cpu" or len(self._finite) == CHECKED_TOGETHER:
            self.check_finite()
        self._remember(query, fed_back)
        self.frame += 1
        return labels

    def check_finite(self) -> None:
        """Check the labels of the frames since the last check.

        On a GPU every check waits for the device, so that `step` checks 32 frames at a time; call this after the last.

        Raises:
            ValueError: naming the first frame whose labels are not finite.
        """
        if not self._finite:
            return
        finite, self._finite = PendingCopy(torch.stack(self._finite)).wait().tolist(), []
        if not all(finite):
            frame = self._checked + finite.index(False)
            raise ValueError(f"the labels of frame {frame} are not finite: look for NaN in features and labels")
        self._checked += len(finite)

    def _propagate(self, query: Tensor) -> Tensor:
        """Return labels (L, h, w) for queries (h, w, C)."""
        protocol = self.protocol
        if protocol.topk is None:
            average = self._average_all(query)
        elif self._starting:
            own = [self._average_best(query, start) * channels for start, channels in self._starting.items()]
            average = torch.stack(own).sum(0)
        else:
            average = self._average_best(query)
        labels = average.permute(2, 0, 1).contiguous()
        if protocol.normalise_labels and protocol.normalise_by == "labels":
            labels = labels / labels.sum(0, keepdim=True).clamp_min(1e-12)
        if protocol.foreground_gain != 1:
            labels[1:] *= protocol.foreground_gain
        return labels

    def _average_best(self, query: Tensor, start: int = 0) -> Tensor:
        """Average labels (h, w, L) by the softmax over the top-k of all references together."""
        sources, topk, ties = self._sources(start), self.protocol.topk or 0, self.protocol.topk_ties == "kept"
        count = topk + ties
        while True:
            found = []
            for number, (attention, memory, frames) in enumerate(sources):
                references = memory.slots(frames)
                search = partial(attention.best_matches, query, memory.keys, references, sketches=memory.sketches)
                shared = self._shared
                found.append(search(count) if shared is None else shared.find(self.frame, (start, number), search))
            logits = torch.cat([values for values, _ in found], dim=2).flatten(0, 1).to(self._label_dtype)
            if not ties:
                break
            top = logits.topk(min(topk, logits.shape[1]), dim=1).values
            last = top.amin(1, keepdim=True).clamp_min(torch.finfo(top.dtype).min)
            if not any(v.shape[2] == count and (v.amin(2).view(-1, 1) >= last).any() for v, _ in found):
                logits.masked_fill_(logits < last, -torch.inf)
                break
            count *= 2  # all that were found are tied with the last of the top-k: there may be more
        memories = [source.memory for source in sources]
        return average_of_matches(memories, found, count if ties else topk, self.protocol.temperature, logits)

    def _average_all(self, query: Tensor) -> Tensor:
        """Average labels (h, w, L) by the softmax over all neighbours in all references."""
        protocol, adjust = self.protocol, None
        if protocol.mixture_components is not None:
            adjust = partial(
                compact_windows,
                components=protocol.mixture_components,
                threshold=protocol.mixture_threshold,
                width=protocol.mixture_width,
                weights=protocol.mixture_weights,
            )
        ((attention, memory, frames),) = self._sources()
        by_weights = protocol.normalise_labels and protocol.normalise_by == "weights"
        return attention.average(
            query,
            memory.keys,
            memory.labels,
            memory.slots(frames),
            protocol.temperature,
            protocol.border,
            adjust,
            by_weights,
        )

    def _sources(self, start: int = 0) -> list[_Source]:
        """Return what the current frame searches in the context of a start frame."""
        if self._memory is None:
            raise ValueError("step has not seen frame 0")
        frames = reference_frames(self.protocol, self.frame, start)
        if start not in self._everywhere:
            return [_Source(self._nearby, self._memory, frames)]
        lasting = _Source(self._anywhere, self._everywhere[start], frames[:1])
        return [lasting, _Source(self._nearby, self._memory, frames[1:])] if frames[1:] else [lasting]

    def _remember(self, query: Tensor, labels: Tensor) -> None:
        protocol = self.protocol
        if self._memory is None:
            self._label_dtype = labels.dtype
            self._memory = self._new_memory(*kept_frames(protocol), query, labels, -1)
        if looks_everywhere(protocol) and (self.frame == 0 or self.frame in self._starting):
            self._everywhere[self.frame] = self._new_memory((self.frame,), 0, query, labels, self.frame)
            self._everywhere[self.frame].write(self.frame, query, labels)
        self._memory.write(self.frame, query, labels)

    def _new_memory(
        self, lasting: tuple[int, ...], recent: int, query: Tensor, labels: Tensor, number: int
    ) -> ReferenceMemory:
        """Return a new memory, over the keys of the group's memory of this number where matches are shared."""
        keys = None if self._shared is None else self._shared.keys.get(number)
        memory = ReferenceMemory(lasting, recent, query, labels, keys, sketched=self.protocol.topk is not None)
        if self._shared is not None:
            self._shared.keys[number] = memory.keys
        return memory

    def _check(self, features: Tensor, entering: Tensor | None) -> None:
        shape = self._first_labels.shape
        if features.ndim != 3 or features.shape[1:] != shape[1:]:
            raise ValueError(
                f"features of frame {self.frame} must be (C, {shape[1]}, {shape[2]}) like the labels, "
                f"got {tuple(features.shape)}"
            )
        if not features.is_floating_point():
            raise ValueError(f"features of frame {self.frame} must be float, got {features.dtype}")
        if self._memory is not None and len(features) != self._memory.keys.shape[3]:
            raise ValueError(
                f"features of frame {self.frame} must have {self._memory.keys.shape[3]} channels like those of "
                f"frame 0, got {len(features)}"
            )
        if entering is not None and entering.shape != shape:
            raise ValueError(
                f"entering labels of frame {self.frame} must be {tuple(shape)} like first_labels, "
                f"got {tuple(entering.shape)}"
            )


def _like(labels: Tensor, other: Tensor) -> Tensor:
    """Return labels on the device and of the type of other labels."""
    return to_device(labels, other.device).to(other.dtype)


def _enter(labels: Tensor, entering: Tensor) -> Tensor:
    starts = (entering > 0).flatten(1).any(1)
    remaining = labels * (1 - entering.sum(0).clamp(0, 1))
    return torch.where(starts[:, None, None], entering, remaining)


def _enter_softly(labels: Tensor, entering: Tensor) -> Tensor:
    """Blend entering labels in by HVC's rule, weighted by their own sum at the cell: soft edges are squared."""
    total = entering.sum(0)
    return labels * (1 - total) + entering * total


def _harden(labels: Tensor, stride: int) -> Tensor:
    """One-hot labels: the argmax at input size, sampled as an annotation is by "strided"."""
    _, height, width = labels.shape
    winner = decode_masks(labels, (height * stride, width * stride), rescale=False)[::stride, ::stride]
    return F.one_hot(winner.long(), len(labels)).permute(2, 0, 1).to(labels.dtype)


def _check_entering(entering: Mapping[int, Tensor], frames: int) -> None:
    if beyond := sorted(frame for frame in entering if not 0 <= frame < frames):
        raise ValueError(f"entering names frame {beyond[0]}, but the video has frames 0 to {frames - 1}")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn off autocast and TF32 or bfloat16 products, whatever the training around it has set."""
    with _exact_products(), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _exact_products() -> Iterator[None]:
    """Set products to float32, and restore the setting by the API that it was made with: torch refuses a mix."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by fp32_precision of torch.backends
        backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        own = [backend.fp32_precision for backend in backends]
        try:
            for backend in backends:
                backend.fp32_precision = "ieee"
            yield
        finally:
            for backend, value in zip(backends, own, strict=True):
                backend.fp32_precision = value
    else:
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
