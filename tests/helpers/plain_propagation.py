"""Label propagation as the original codes do it: every similarity of two maps, a mask, a sort. Slow and plain."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation import reference_frames


def dense_mask(height: int, width: int, radius: float, neighbourhood: str) -> Tensor:
    """(h · w, h · w) bool: key is a neighbour of query."""
    y, x = (grid.flatten() for grid in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    dy, dx = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    if neighbourhood == "circle":
        return dy**2 + dx**2 < radius**2
    return (dy <= radius) & (dx <= radius)


def dense_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    topk: int | None,
    temperature: float,
    unmasked: int = 0,
    chunk: int = 256,
) -> Tensor:
    """query (C, h, w), keys (R, C, h, w), values (R, L, h, w), mask (h · w, h · w) → (L, h, w).

    The first `unmasked` references are not restricted by the mask.
    """
    _, height, width = query.shape
    queries, flat_keys = query.flatten(1), keys.transpose(0, 1).flatten(1)
    flat_values = values.transpose(0, 1).flatten(1)
    result = []
    for places in torch.arange(height * width).split(chunk):
        logits = (queries[:, places].T @ flat_keys / temperature).unflatten(1, (len(keys), -1))
        if mask is not None:
            logits[:, unmasked:].masked_fill_(~mask[places][:, None], -torch.inf)
        logits = logits.flatten(1)
        if topk is None:
            result.append(flat_values @ logits.softmax(1).T)
        else:
            top, index = logits.topk(min(topk, logits.shape[1]), dim=1)
            result.append((flat_values[:, index] * top.softmax(1)).sum(2))
    return torch.cat(result, 1).view(-1, height, width)


def plain_propagation(
    features: Tensor, first_labels: Tensor, protocol: PropagationProtocol, dtype: torch.dtype = torch.float32
) -> Tensor:
    """features (T, C, h, w), first_labels (L, h, w) → (T, L, h, w), with every frame kept."""
    features = features.to(dtype)
    if protocol.feature_normalisation == "l2":
        features = F.normalize(features, dim=1, eps=1e-12)
    mask = None
    if protocol.radius is not None:
        mask = dense_mask(*features.shape[2:], protocol.radius, protocol.neighbourhood)
    unmasked = 0 if protocol.first_frame_masked or protocol.references else 1
    labels = [first_labels.to(dtype)]
    for frame in range(1, len(features)):
        chosen = reference_frames(protocol, frame)
        values = torch.stack([labels[f] for f in chosen])
        labels.append(
            dense_attention(
                features[frame], features[chosen], values, mask, protocol.topk, protocol.temperature, unmasked
            )
        )
    return torch.stack(labels)
