"""The search for the best matches in the reference frames of a protocol."""

import torch
from torch import Tensor

from ...protocols import LabelProtocol
from ..device import PendingCopy
from ..window_tiles import Neighbourhood
from .attention import LocalAttention
from .blocks import FoundMatches
from .memory import KeyMemory

NEARBY = -1
"""Index of the memory of frames that are searched in the neighbourhood."""


def compared(features: Tensor, protocol: LabelProtocol) -> Tensor:
    """Return features (C, h, w) as the protocol compares them: (h, w, C), of unit length or as they are."""
    dtype: torch.dtype = getattr(torch, protocol.precision)
    features = features.to(torch.float64 if dtype == torch.float64 else torch.float32)
    if protocol.feature_normalisation == "l2":
        features = features / features.square().sum(-3, keepdim=True).sqrt().clamp_min(1e-12)
    return features.to(dtype).permute(1, 2, 0).contiguous()


def looks_everywhere(protocol: LabelProtocol) -> bool:
    """Return whether the lasting copy of frame 0 is searched everywhere, and so is kept separately."""
    return protocol.references is None and not protocol.first_frame_masked and protocol.radius is not None


class CorrespondenceSearch:
    """Finds the best matches of a video's frames in their reference frames.

    Args:
        protocol: says which frames are references, and where and how they are searched.

    Attributes:
        keys: `NEARBY`, or a start frame that is searched everywhere and kept to the end → features.
    """

    def __init__(self, protocol: LabelProtocol) -> None:
        self.keys: dict[int, KeyMemory] = {}
        self._protocol = protocol
        self._in_neighbourhood = LocalAttention(Neighbourhood(protocol.radius_in_cells, protocol.neighbourhood))
        self._on_whole_map = LocalAttention(Neighbourhood(None))
        self._first_lasts_apart = looks_everywhere(protocol)
        self._new_memory = KeyMemory if protocol.topk is None else KeyMemory.fastest

    def write(self, frame: int, features: Tensor, starts: bool) -> None:
        """Store the features (h, w, C) of a frame.

        Args:
            frame: index of the frame.
            features: (h, w, C).
            starts: objects start in the frame, as in frame 0.
        """
        if not self.keys:
            lasting, recent = self._protocol.kept_frames()
            if self._first_lasts_apart:
                lasting = ()
            self.keys[NEARBY] = self._new_memory(lasting, recent, features, self._in_neighbourhood)
        lasts_apart = self._first_lasts_apart or (frame > 0 and self._protocol.own_context)
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
        frames = self._protocol.reference_frames(frame, start)
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
        ties = self._protocol.topk_ties == "kept"
        count = topk + 1 if ties else topk
        while True:
            matches: dict[int, FoundMatches] = {}
            for source, frames in self.searched(frame, start).items():
                matches[source] = self.keys[source].best_matches(query, frames, count)
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
