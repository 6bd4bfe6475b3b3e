"""The references of a frame: which frames they are, and the best matches in them."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import PendingCopy
from ..protocols import PropagationProtocol
from .attention import FoundMatches, LocalAttention
from .memory import KeyMemory
from .tiles import Neighbourhood

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
        chosen = {r if r >= 0 else frame + r for r in protocol.references}
        return sorted(f for f in chosen if 0 <= f < frame)
    window = range(frame - protocol.context, frame)
    if protocol.repeat_first == "padding":
        return [start] + [max(f, start) for f in window]
    first_recent = 1 if protocol.repeat_first == "never" else 0
    return [0] + [f for f in window if f >= first_recent]


def scaled(features: Tensor, protocol: PropagationProtocol) -> Tensor:
    """Return features (…, C, h, w) as the protocol compares them: of unit length along C, or as they are."""
    if protocol.feature_normalisation == "raw":
        return features
    return features / features.square().sum(-3, keepdim=True).sqrt().clamp_min(1e-12)


def looks_everywhere(protocol: PropagationProtocol) -> bool:
    """Return whether the lasting copy of frame 0 is searched everywhere, and so is kept separately."""
    return protocol.references is None and not protocol.first_frame_masked and protocol.radius is not None


class CorrespondenceSearch:
    """Finds the best matches of a video's frames in their reference frames.

    Propagators of one group, see `shared_finders`, can share a finder: the first propagator of a frame searches, with
    the largest top-k of the group, and the others choose among these matches. All propagators must take a frame before
    any takes the next frame.

    Args:
        protocols: the group, protocols that match alike.

    Attributes:
        keys: `NEARBY`, or the start frame that is searched everywhere → features.
    """

    def __init__(self, protocols: Sequence[PropagationProtocol]) -> None:
        self.keys: dict[int, KeyMemory] = {}
        self._protocol = protocols[0]
        self._topk = max(protocol.topk or 0 for protocol in protocols)
        self._nearby = LocalAttention(Neighbourhood(self._protocol.radius_in_cells, self._protocol.neighbourhood))
        self._anywhere = LocalAttention(Neighbourhood(None))
        self._everywhere = looks_everywhere(self._protocol)
        self._new_memory = KeyMemory if self._protocol.topk is None else KeyMemory.fastest
        self._written = self._searched = -1  # the latest frame
        self._found: dict[tuple[int, int], dict[int, FoundMatches]] = {}

    def write(self, frame: int, features: Tensor, starts: bool) -> None:
        """Keep the features (h, w, C) of a frame, once; `starts`: objects start in it, as in frame 0."""
        if frame == self._written:
            return
        protocol, self._written = self._protocol, frame
        if not self.keys:
            lasting: Sequence[int] = () if self._everywhere else (0,)
            recent = protocol.context
            if protocol.references is not None:
                lasting, recent = [f for f in protocol.references if f >= 0], max(0, -min(protocol.references))
            self.keys[NEARBY] = self._new_memory(lasting, recent, features, self._nearby)
        if self._everywhere and starts:
            self.keys[frame] = self._new_memory((frame,), 0, features, self._anywhere)
            self.keys[frame].write(frame, features)
        self.keys[NEARBY].write(frame, features)

    def find(self, query: Tensor, frame: int, start: int, topk: int) -> tuple[dict[int, FoundMatches], int]:
        """Return the best matches of a frame's queries (h, w, C) in each of the `keys`, and the number that counts.

        The number is `topk` over all keys together. If ties are kept, matches equal to the last of the top-k count too,
        and smaller products are −inf. `start`: first frame of the searched context, see `reference_frames`.
        """
        if frame != self._searched:
            self._searched, self._found = frame, {}
        ties = self._protocol.topk_ties == "kept"
        count = topk + 1 if ties else self._topk
        while True:
            if (start, count) not in self._found:
                frames = reference_frames(self._protocol, frame, start)
                sources = {start: frames[:1], NEARBY: frames[1:]} if start in self.keys else {NEARBY: frames}
                self._found[start, count] = {
                    at: self.keys[at].best_matches(query, searched, count)
                    for at, searched in sources.items()
                    if searched
                }
            matches = self._found[start, count]
            if not ties:
                return matches, topk
            products = torch.cat([values for values, _ in matches.values()], dim=2)
            top = products.topk(min(topk, products.shape[2]), dim=2).values
            last = top.amin(2, keepdim=True).clamp_min(torch.finfo(top.dtype).min)
            full = [values for values, _ in matches.values() if values.shape[2] == count]
            none_missing = [~(values.amin(2, keepdim=True) >= last).any() for values in full]
            if not full or PendingCopy(torch.stack(none_missing).all()).wait():  # the one wait of a frame
                tied = {at: (v.masked_fill(v < last, -torch.inf), cells) for at, (v, cells) in matches.items()}
                return tied, count
            count *= 2  # all matches found are tied with the last of the top-k: there may be more


def average_of_matches(
    labels: Sequence[Tensor], matches: Sequence[FoundMatches], topk: int, temperature: float
) -> Tensor:
    """Return the average of labels at the best matches of all sources together, weighted by their softmax.

    Args:
        labels: of each source, (h, w, S, L).
        matches: in each source.
        topk: matches that count.
        temperature: divides the products before the softmax.

    Returns:
        (h, w, L).
    """
    logits = torch.cat([values for values, _ in matches], dim=2).flatten(0, 1).to(labels[0].dtype)
    top, choice = logits.topk(min(topk, logits.shape[1]), dim=1)
    weights = torch.zeros_like(logits).scatter_(1, choice, (top / temperature).softmax(1))
    average = torch.zeros_like(labels[0][:, :, 0])
    parts = weights.split([values.shape[2] for values, _ in matches], 1)
    for table, (_, cells), part in zip(labels, matches, parts, strict=True):
        rows = F.embedding_bag(cells.flatten(0, 1), table.flatten(0, 2), per_sample_weights=part, mode="sum")
        average += rows.view_as(average)
    return average


AFTER_MATCHING = ("label_", "decoding_", "keypoint_")
"""Beginnings of the names of fields that say what happens after features are matched."""
ALSO_AFTER = frozenset(
    {"name", "topk", "temperature", "normalise_labels", "normalise_by", "foreground_gain", "first_frame"}
)


def shared_finders(protocols: Sequence[PropagationProtocol]) -> list[CorrespondenceSearch]:
    """Return a finder per protocol; protocols that differ only in top-k, temperature or coding of labels share it.

    A protocol without a top-k, or that keeps ties, needs all matches and never shares.
    """
    names = [field.name for field in dataclasses.fields(PropagationProtocol)]
    matched = [name for name in names if name not in ALSO_AFTER and not name.startswith(AFTER_MATCHING)]
    groups: dict[tuple[object, ...], list[PropagationProtocol]] = {}
    keys: list[tuple[object, ...]] = []
    for index, protocol in enumerate(protocols):
        alone = protocol.topk is None or protocol.topk_ties == "kept"
        keys.append((index,) if alone else tuple(getattr(protocol, name) for name in matched))
        groups.setdefault(keys[-1], []).append(protocol)
    finders = {key: CorrespondenceSearch(group) for key, group in groups.items()}
    return [finders[key] for key in keys]


class Matches(NamedTuple):
    """Best matching cells of N query points, k each, by descending weight.

    Attributes:
        frames: long (N, k), indices of the reference frames.
        cells: long (N, k, 2), y and x in feature cells.
        weights: (N, k), of each cell in the average of labels.
    """

    frames: Tensor
    cells: Tensor
    weights: Tensor


@torch.no_grad()
def matches_of_cells(
    features: Tensor, points: Tensor, protocol: PropagationProtocol, count: int | None = None
) -> Matches:
    """Return the cells and weights with which `propagate_labels` averages the labels of the last frame.

    A frame that counts twice is found twice. Liir's mixture (Eq. 7) is left out: the weights are its input.

    Args:
        features: (T, C, h, w) of the frames of a video.
        points: long (N, 2), y and x in feature cells, in the last frame.
        protocol: references, window, top-k, temperature and normalisation.
        count: largest number of cells returned for a point; None is the protocol's top-k, or 10 without a top-k.

    Raises:
        ValueError: for fewer than two frames or a point outside the map.

    Example:
        >>> features = torch.eye(4).view(1, 4, 2, 2).repeat(2, 1, 1, 1)  # two equal frames of four cells
        >>> protocol = PropagationProtocol("best", context=0, topk=1, temperature=1.0, radius=None)
        >>> matches_of_cells(features, torch.tensor([[1, 0]]), protocol).cells
        tensor([[[1, 0]]])
    """
    last, (height, width) = len(features) - 1, features.shape[2:]
    points = points.to(features.device)
    if last < 1 or ((points < 0) | (points >= points.new_tensor([height, width]))).any():
        raise ValueError(
            f"points must lie on the map of {height} x {width} cells, after another frame; got {points.tolist()} in "
            f"frame {last}"
        )
    references = torch.tensor(reference_frames(protocol, last), device=features.device)
    maps = scaled(features.float(), protocol)
    query = maps[last][:, points[:, 0], points[:, 1]]
    products = torch.einsum("rchw,cn->nrhw", maps[references], query)
    searched = _searched_cells(points, protocol, len(references), height, width)
    logits = products.masked_fill(~searched, -torch.inf).flatten(1) / protocol.temperature
    top, choice = logits.topk(min(protocol.topk or logits.shape[1], logits.shape[1]), dim=1)
    weights = _softmax(top, protocol, len(references))
    kept = min(count or protocol.topk or 10, top.shape[1])
    choice, weights = choice[:, :kept], weights[:, :kept]
    cell = choice % (height * width)
    return Matches(references[choice // (height * width)], torch.stack([cell // width, cell % width], dim=2), weights)


def _searched_cells(points: Tensor, protocol: PropagationProtocol, references: int, height: int, width: int) -> Tensor:
    """Return a mask of the cells that the protocol searches for each point, bool (N, R, h, w)."""
    y, x = (torch.arange(side, device=points.device) for side in (height, width))
    neighbourhood = Neighbourhood(protocol.radius_in_cells, protocol.neighbourhood)
    near = neighbourhood.contains(y[:, None] - points[:, 0, None, None], x - points[:, 1, None, None])
    searched = near[:, None].repeat(1, references, 1, 1)
    if looks_everywhere(protocol):
        searched[:, 0] = True
    return searched


def _softmax(logits: Tensor, protocol: PropagationProtocol, references: int) -> Tensor:
    """Return weights of the sorted logits; with border "zero", cells outside the map take part in the softmax."""
    radius = protocol.radius_in_cells
    if protocol.border != "zero" or radius is None:
        return logits.softmax(1)
    window = references * (2 * int(radius) + 1) ** 2
    missing = window - logits.isfinite().sum(1, keepdim=True)
    outside = missing.clamp_min(0).to(logits).log()
    return torch.exp(logits - torch.logaddexp(logits.logsumexp(1, keepdim=True), outside))
