"""Products of rows by oneDNN's convolutions, which are faster on a CPU than matrix products."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

SMALLEST = 20480
"""Torch gives convolutions with fewer input numbers to another library."""


def onednn_pays(queries: Tensor, keys: Tensor) -> bool:
    """Return whether products of queries and keys are faster by oneDNN than by `mm`.

    They are in float32 on a CPU, if the keys hold more than `SMALLEST` numbers.
    """
    is_served = queries.device.type == "cpu" and queries.dtype == torch.float32
    return is_served and torch.backends.mkldnn.is_available() and keys.numel() > SMALLEST


def dot_products(queries: Tensor, keys: Tensor) -> Tensor:
    """Return `queries @ keys.T` by a convolution: `(n, D)`, `(K, D)` → `(n, K)`, a transposed view.

    The keys are the pixels of an image and the queries the filters of a 1 × 1 convolution. On a single thread torch
    uses oneDNN only for dilated convolutions; dilation has no effect on a 1 × 1 filter.
    """
    return F.conv2d(_as_image(keys), queries[:, :, None, None], dilation=2)[0, :, :, 0]


def weighted_sums(weights: Tensor, keys: Tensor) -> Tensor:
    """Return `weights @ keys`: `(n, K)`, `(K, D)` → `(n, D)`.

    It is computed as the gradient into the filters of `dot_products`' convolution, which is as fast as the convolution.

    Args:
        weights: a transposed view, as `dot_products` returns it.
        keys: contiguous in memory.
    """
    filters = len(weights), keys.shape[1], 1, 1
    return conv2d_weight(_as_image(keys), filters, _as_image(weights.mT), dilation=2).flatten(1)


def _as_image(rows: Tensor) -> Tensor:
    """View `(K, D)` as an image `(1, D, K, 1)`, channels last."""
    return rows.view(1, len(rows), 1, -1).permute(0, 3, 1, 2)
