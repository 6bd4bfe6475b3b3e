"""The weights of single query cells, as `propagate_labels` takes them, for pictures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...protocols import LabelProtocol
from ..device import computing_in
from .comparison import comparison
from .propagate import LabelPropagator, References


class CellAffinity(NamedTuple):
    """Affinity of N query cells in the last frame of a video.

    Attributes:
        frames: indices of the R different reference frames, in order of time.
        weights: (N, R, h, w): weight of each cell's label in the average. The weights of a query cell sum to 1, except
            with a mixture, the border "zero", or a user's rule.
    """

    frames: list[int]
    weights: Tensor


def affinity_of_cells(
    features: Tensor,
    cells: Tensor,
    protocol: LabelProtocol,
    propagator: Callable[[Tensor, Any], LabelPropagator] = LabelPropagator,
    network: object = None,
) -> CellAffinity:
    """Return the affinity of query cells y, x (N, 2) of the last frame to the cells of each reference frame.

    It is the weights with which `LabelPropagator.average` averages the references' labels, computed as the gradient of
    the average by the labels. A reference that counts twice has twice the weight.

    Args:
        features: (T, C, h, w) of all frames of a video; a protocol may whiten features by the first frame.
        propagator: `LabelPropagator`, or a user's rule, which may read its attribute `network`.

    Raises:
        ValueError: for fewer than two frames, a cell outside the map, or a rule without gradients.
    """
    last = len(features) - 1
    height, width = features.shape[2:]
    beyond = (cells < 0) | (cells >= cells.new_tensor([height, width]))
    if last < 1 or beyond.any():
        raise ValueError(f"expected 2 frames or more and cells on the map, got {last + 1} and {cells.tolist()}")
    listed = protocol.reference_frames(last)
    with torch.inference_mode(False), torch.enable_grad(), computing_in("float32", features.device):
        # autograd takes no tensors of inference mode
        features = features.detach().clone()
        compared = comparison(features[0], protocol)
        query = compared(features[last])
        keys = torch.stack([compared(features[frame]) for frame in listed], 2)
        # any labels will do: the average is linear in them, so its gradient is the weights
        labels = torch.ones_like(keys[..., :1], dtype=features.dtype).requires_grad_()
        rule = propagator(labels.detach()[:, :, 0].permute(2, 0, 1), protocol)
        # a user's `average` may read frame and network
        rule.frame = last
        rule.network = network
        average = rule.average(query, References.of(listed, keys, labels, protocol))
        if not average.requires_grad:
            raise ValueError(f"{type(rule).__name__}.average: gives no gradients of the labels, so no weights")
        weights = _cell_gradients(average, labels, cells)
    # `listed` has a frame twice if it counts twice; its weights are added up
    frames = sorted(set(listed))
    places = torch.tensor(list(map(frames.index, listed)), device=features.device)
    summed = weights.new_zeros(len(cells), len(frames), height, width).index_add_(1, places, weights)
    return CellAffinity(frames, summed)


def _cell_gradients(average: Tensor, labels: Tensor, cells: Tensor) -> Tensor:
    """Return the gradients (N, S, h, w) of the average (h, w, 1) at cells by the labels (h, w, S, 1)."""
    gradients: list[Tensor] = []
    for y, x in cells.tolist():
        (gradient,) = torch.autograd.grad(average[y, x, 0], labels, retain_graph=True)
        gradients.append(gradient[..., 0].permute(2, 0, 1))
    return torch.stack(gradients)
