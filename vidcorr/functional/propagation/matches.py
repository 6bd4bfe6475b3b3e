"""The cells and weights of single points, as `propagate_labels` finds them, for pictures."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..protocols import PropagationProtocol
from ..window_tiles import Neighbourhood
from .propagate import looks_everywhere, reference_frames, scaled


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
            f"expected 2 frames or more, and points on the map of {height} x {width} cells; got {last + 1} frame(s), "
            f"points {points.tolist()}"
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
