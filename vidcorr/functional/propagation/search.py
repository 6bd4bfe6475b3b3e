"""Reference frames of a protocol, and the search for the best matches in them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...protocols import PropagationProtocol
from ..device import PendingCopy
from ..window_tiles import Neighbourhood
from .attention import LocalAttention
from .blocks import FoundMatches
from .memory import KeyMemory

NEARBY = -1
"""Index of the memory of frames that are searched in the neighbourhood."""


def reference_frames(protocol: PropagationProtocol, frame: int, start: int = 0) -> list[int]:
    """Return the indices of the reference frames of `frame`; a repeated index counts twice.

    Args:
        protocol: the rules.
        frame: index of the frame.
        start: first frame of the context, and the first index returned: 0, or the start frame of an object.
    """
    if protocol.references is not None:
        chosen: set[int] = set()
        for reference in protocol.references:
            index = reference if reference >= 0 else frame + reference
            if 0 <= index < frame:
                chosen.add(index)
        return sorted(chosen)
    oldest = frame - protocol.context
    if protocol.repeat_first == "padding":
        return [start] + [max(recent, start) for recent in range(oldest, frame)]
    first_recent = 1 if protocol.repeat_first == "never" else 0
    return [0, *range(max(oldest, first_recent), frame)]


def compared(features: Tensor, protocol: PropagationProtocol) -> Tensor:
    """Return features (C, h, w) as the protocol compares them: (h, w, C), of unit length or as they are."""
    dtype: torch.dtype = getattr(torch, protocol.precision)
    features = features.to(torch.float64 if dtype == torch.float64 else torch.float32)
    if protocol.feature_normalisation == "l2":
        features = features / features.square().sum(-3, keepdim=True).sqrt().clamp_min(1e-12)
    return features.to(dtype).permute(1, 2, 0).contiguous()


def looks_everywhere(protocol: PropagationProtocol) -> bool:
    """Return whether the lasting copy of frame 0 is searched everywhere, and so is kept separately."""
    return protocol.references is None and not protocol.first_frame_masked and protocol.radius is not None


class CorrespondenceSearch:
    """Finds the best matches of a video's frames in their reference frames.

    Propagators of a group, whose protocols differ only after the matching, can share a finder. The first propagator to
    take a frame searches with the group's largest top-k; the others choose among its matches. All propagators must take
    a frame before any takes the next frame.

    Args:
        protocols: the group, protocols that match alike.

    Attributes:
        keys: `NEARBY`, or a start frame that is searched everywhere and kept to the end → features.
    """

    def __init__(self, protocols: Sequence[PropagationProtocol]) -> None:
        self.keys: dict[int, KeyMemory] = {}
        self._protocol = protocols[0]  # the others match alike, apart from the top-k
        self._topk = max(protocol.topk or 0 for protocol in protocols)
        self._in_neighbourhood = LocalAttention(
            Neighbourhood(self._protocol.radius_in_cells, self._protocol.neighbourhood)
        )
        self._on_whole_map = LocalAttention(Neighbourhood(None))
        self._first_lasts_apart = looks_everywhere(self._protocol)
        self._new_memory = KeyMemory if self._protocol.topk is None else KeyMemory.fastest
        self._last_written = -1
        self._last_searched = -1
        self._found: dict[tuple[int, int], dict[int, FoundMatches]] = {}  # in this frame: (start, count) → matches

    def write(self, frame: int, features: Tensor, starts: bool) -> None:
        """Store the features (h, w, C) of a frame; a repeated call does nothing.

        Args:
            frame: index of the frame.
            features: (h, w, C).
            starts: objects start in the frame, as in frame 0.
        """
        if frame == self._last_written:
            return
        self._last_written = frame
        protocol = self._protocol
        if not self.keys:
            lasting: Sequence[int] = () if self._first_lasts_apart else (0,)
            recent = protocol.context
            if protocol.references is not None:
                lasting = [f for f in protocol.references if f >= 0]
                recent = max(0, -min(protocol.references))
            self.keys[NEARBY] = self._new_memory(lasting, recent, features, self._in_neighbourhood)
        lasts_apart = self._first_lasts_apart or (frame > 0 and protocol.entering == "own-context")
        if starts and lasts_apart:
            self.keys[frame] = self._new_memory((frame,), 0, features, self._on_whole_map)
            self.keys[frame].write(frame, features)
        self.keys[NEARBY].write(frame, features)

    def searched(self, frame: int, start: int) -> dict[int, list[int]]:
        """Return the memories that a frame searches → the reference frames in each.

        Args:
            frame: index of the frame.
            start: 0, or the start frame of an object, whose context begins there.
        """
        frames = reference_frames(self._protocol, frame, start)
        if start not in self.keys:
            return {NEARBY: frames}
        if frames[1:]:
            return {start: frames[:1], NEARBY: frames[1:]}
        return {start: frames}

    def find(self, query: Tensor, frame: int, start: int, topk: int) -> tuple[dict[int, FoundMatches], int]:
        """Return the best matches of a frame's queries (h, w, C) in each of the `keys`, and the number that counts.

        The number is `topk` over all keys together. If ties are kept, matches equal to the last of the top-k count too,
        and smaller products are −inf. `start`: 0, or the start frame of an object, whose context begins there.
        """
        if frame != self._last_searched:
            self._last_searched = frame
            self._found = {}
        ties = self._protocol.topk_ties == "kept"
        count = topk + 1 if ties else self._topk
        while True:
            if (start, count) not in self._found:
                found: dict[int, FoundMatches] = {}
                for source, frames in self.searched(frame, start).items():
                    found[source] = self.keys[source].best_matches(query, frames, count)
                self._found[start, count] = found
            matches = self._found[start, count]
            if not ties:
                return matches, topk
            of_sources = [values for values, _ in matches.values()]
            products = torch.cat(of_sources, dim=2)
            top = products.topk(min(topk, products.shape[2]), dim=2).values
            last = top.amin(2, keepdim=True).clamp_min(torch.finfo(top.dtype).min)
            full = [values for values in of_sources if values.shape[2] == count]
            none_missing = [~(values.amin(2, keepdim=True) >= last).any() for values in full]
            if not full or PendingCopy(torch.stack(none_missing).all()).wait():  # the one wait of a frame
                tied: dict[int, FoundMatches] = {}
                for source, (values, cells) in matches.items():
                    tied[source] = values.masked_fill(values < last, -torch.inf), cells
                return tied, count
            count *= 2  # all matches found are tied with the last of the top-k: there may be more


def shared_finders(protocols: Sequence[PropagationProtocol]) -> list[CorrespondenceSearch]:
    """Return a finder per protocol; protocols that differ only in top-k, temperature or coding of labels share it.

    A protocol without a top-k, or that keeps ties, needs all matches and never shares.
    """
    after = PropagationProtocol.fields_with("part", "after matching")
    matched = [field.name for field in PropagationProtocol.value_fields() if field.name not in after]
    groups: dict[tuple[object, ...], list[PropagationProtocol]] = {}
    keys: list[tuple[object, ...]] = []
    for index, protocol in enumerate(protocols):
        key: tuple[object, ...] = tuple(getattr(protocol, name) for name in matched)
        if protocol.topk is None or protocol.topk_ties == "kept":
            key = (index,)
        keys.append(key)
        groups.setdefault(key, []).append(protocol)
    finders = {key: CorrespondenceSearch(group) for key, group in groups.items()}
    return [finders[key] for key in keys]
