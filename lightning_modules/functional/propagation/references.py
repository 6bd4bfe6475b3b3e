"""References of a frame, and where their features and labels are kept."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .protocol import PropagationProtocol
from .screened_search import SketchedKeys, can_screen


def reference_frames(protocol: PropagationProtocol, frame: int, start: int = 0) -> list[int]:
    """Return the numbers of the frames that `frame` refers to; one that is listed twice counts twice.

    Args:
        protocol: whose rule it is.
        frame: number of the frame.
        start: the first frame of the context, whose lasting copy comes first: 0, or that in which an object starts.
    """
    if protocol.references is not None:
        chosen = {r if r >= 0 else frame + r for r in protocol.references}
        return sorted(f for f in chosen if 0 <= f < frame)
    window = range(frame - protocol.context, frame)
    if protocol.repeat_first == "padding":
        return [start] + [max(f, start) for f in window]
    first_recent = 1 if protocol.repeat_first == "never" else 0
    return [0] + [f for f in window if f >= first_recent]


def kept_frames(protocol: PropagationProtocol) -> tuple[tuple[int, ...], int]:
    """Return the frames that stay references to the end, and how many of the latest others can still be one."""
    if protocol.references is not None:
        return tuple(f for f in protocol.references if f >= 0), max(0, -min(protocol.references))
    return () if looks_everywhere(protocol) else (0,), protocol.context


def looks_everywhere(protocol: PropagationProtocol) -> bool:
    """Return whether the lasting copy of frame 0 is searched everywhere, and so is kept separately."""
    return protocol.references is None and not protocol.first_frame_masked and protocol.radius is not None


class ReferenceMemory:
    """Features and labels of lasting frames and of the latest `recent` others, cell by cell.

    Args:
        lasting: numbers of the lasting frames.
        recent: number of others.
        features: (h, w, C) of a frame, for its shape and type.
        labels: (L, h, w) of a frame, for their shape and type.
        keys: those of another memory of the same frames, which alone writes them; None: its own keys.
        sketched: keep sketches of its own keys too, where the search is faster with them.

    Attributes:
        keys: (h, w, S, C).
        sketches: sketches of the keys, or None.
        labels: (h, w, S, L).
    """

    def __init__(
        self,
        lasting: tuple[int, ...],
        recent: int,
        features: Tensor,
        labels: Tensor,
        keys: Tensor | None = None,
        sketched: bool = False,
    ) -> None:
        self._lasting = sorted(set(lasting))
        self._recent = recent
        height, width, channels = features.shape
        size = len(self._lasting) + recent
        self._owns_keys = keys is None
        self.keys = features.new_zeros(height, width, size, channels) if keys is None else keys
        self.labels = labels.new_empty(height, width, size, len(labels))
        sketched = sketched and self._owns_keys and can_screen(features)
        self.sketches = SketchedKeys(self.keys, features) if sketched else None

    def write(self, frame: int, features: Tensor, labels: Tensor) -> None:
        """Take a frame's features (h, w, C) and labels (L, h, w), if it can become a reference."""
        if frame in self._lasting or self._recent > 0:
            if self._owns_keys:
                self.keys[:, :, self._slot(frame)] = features
            if self.sketches is not None:
                self.sketches.write(self._slot(frame), features)
            self.labels[:, :, self._slot(frame)] = labels.permute(1, 2, 0)

    def slots(self, frames: list[int]) -> list[int]:
        """Return the slots of frames on the third axis."""
        return [self._slot(frame) for frame in frames]

    def weighted_labels(self, indices: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of labels (h, w, L) at indices (h, w, k) in (h · w · S), by weights (h · w, k)."""
        table = self.labels.flatten(0, 2)
        summed = F.embedding_bag(indices.flatten(0, 1), table, per_sample_weights=weights, mode="sum")
        return summed.unflatten(0, indices.shape[:2])

    def _slot(self, frame: int) -> int:
        if frame in self._lasting:
            return self._lasting.index(frame)
        # Count frames from the first that does not last, so that the slots fill up in order.
        first = 1 if self._lasting == [0] else 0
        return len(self._lasting) + (frame - first) % self._recent


def average_of_matches(
    memories: Sequence[ReferenceMemory],
    found: Sequence[tuple[Tensor, Tensor]],
    topk: int,
    temperature: float,
    logits: Tensor | None = None,
) -> Tensor:
    """Return the average of labels at the best matches of all memories together, weighted by their softmax.

    Args:
        memories: with the labels.
        found: in each memory, products (h, w, k) and cells, as `LocalAttention.best_matches` returns them.
        topk: matches that count.
        temperature: divides the products before the softmax.
        logits: (h · w, n), in place of the products of all memories.

    Returns:
        (h, w, L).
    """
    table = memories[0].labels
    if logits is None:
        logits = torch.cat([values for values, _ in found], dim=2).flatten(0, 1).to(table.dtype)
    top, choice = logits.topk(min(topk, logits.shape[1]), dim=1)
    weights = torch.zeros_like(logits).scatter_(1, choice, (top / temperature).softmax(1))
    average = torch.zeros_like(table[:, :, 0])
    parts = weights.split([values.shape[2] for values, _ in found], 1)
    for memory, (_, indices), part in zip(memories, found, parts, strict=True):
        average += memory.weighted_labels(indices, part)
    return average
