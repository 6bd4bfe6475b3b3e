"""Label propagation as the original codes do it: every similarity of two maps, a mask, a sort. Slow and plain."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcorr.protocols import PropagationProtocol


def dense_mask(height: int, width: int, radius: float, neighbourhood: str, queries: int | None = None) -> Tensor:
    """(queries, h · w) bool: key is a neighbour of query; for the first `queries` places, or all."""
    y, x = (grid.flatten() for grid in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    dy, dx = (y[:queries, None] - y).abs(), (x[:queries, None] - x).abs()
    if neighbourhood in ("circle", "disc"):
        squared = dy**2 + dx**2
        return squared < radius**2 if neighbourhood == "circle" else squared <= radius**2
    return (dy <= radius) & (dx <= radius)


def dense_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    topk: int | None,
    temperature: float,
    unmasked: int = 0,
    chunk: int = 256,
) -> Tensor:
    """queries (C, n), keys (C, R · h · w), values (L, R · h · w), mask (n, h · w) → (L, n).

    The first `unmasked` keys are not restricted by the mask.
    """
    result = []
    for places in torch.arange(queries.shape[1]).split(chunk):
        logits = queries[:, places].T @ keys / temperature
        if mask is not None:
            masked = logits[:, unmasked:].unflatten(1, (-1, mask.shape[1]))
            masked.masked_fill_(~mask[places][:, None], -torch.inf)
        if topk is None:
            result.append(values @ logits.softmax(1).T)
        else:
            top, index = logits.topk(min(topk, logits.shape[1]), dim=1)
            result.append((values[:, index] * top.softmax(1)).sum(2))
    return torch.cat(result, 1)


def whitened(features: Tensor, protocol: PropagationProtocol) -> Tensor:
    """Components (T, K, h, w) of features (T, C, h, w), by the singular values of the cells of frame 0."""
    cells = features.double().permute(0, 2, 3, 1)
    centred = cells - cells[0].mean((0, 1))
    first = centred[0].flatten(0, 1)
    _, singular, directions = torch.linalg.svd(first, full_matrices=False)
    factors = ((singular / singular[0]) ** 2 + 0.01) ** -0.25
    components = centred @ directions.T * factors
    most = min(protocol.whitened_channels or len(singular), len(first) - 1)
    return components[..., :most].permute(0, 3, 1, 2).to(features.dtype)


def plain_propagation(
    features: Tensor,
    first_labels: Tensor,
    protocol: PropagationProtocol,
    dtype: torch.dtype = torch.float32,
    entering: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """features (T, C, h, w), first_labels and `entering` (L, h, w) → (T, L, h, w), with every frame kept."""
    features = features.to(dtype)
    if protocol.feature_normalisation != "raw":
        features = F.normalize(features, dim=1, eps=1e-12)
    if protocol.feature_normalisation == "whitened":
        features = F.normalize(whitened(features, protocol), dim=1, eps=1e-12)
    mask = None
    if protocol.radius is not None:
        radius = protocol.radius_in_cells(features.shape[2:])
        mask = dense_mask(*features.shape[2:], radius, protocol.neighbourhood).to(features.device)
    everywhere = protocol.references is None and not protocol.first_frame_masked
    unmasked = features[0, 0].numel() if everywhere else 0
    own_context = getattr(protocol, "entering", "") == "own-context"  # joints all start in frame 0
    starting = {0: (first_labels > 0).flatten(1).any(1)}
    labels = [first_labels.to(dtype)]
    for frame in range(1, len(features)):
        total = torch.zeros_like(labels[0])
        for start, channels in starting.items():
            chosen = protocol.reference_frames(frame, start)
            keys = features[chosen].transpose(0, 1).flatten(1)
            values = torch.stack([labels[f] for f in chosen]).transpose(0, 1).flatten(1)
            query = features[frame].flatten(1)
            found = dense_attention(query, keys, values, mask, protocol.topk, protocol.temperature, unmasked)
            total += found.view_as(total) * (channels[:, None, None] if own_context else 1)
        new = (entering or {}).get(frame)
        if new is not None:
            present = (new > 0).flatten(1).any(1)
            if own_context:
                total = total * (1 - new.sum(0)) + new * new.sum(0)
                starting[frame] = present
            else:
                total = torch.where(present[:, None, None], new, total * (1 - new.sum(0)))
        labels.append(total)
    return torch.stack(labels)
