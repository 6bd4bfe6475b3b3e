"""Matrix products in float32 on a CPU by oneDNN, two to three times as fast as the BLAS behind `mm` there."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 20480
"""Torch gives convolutions with fewer input numbers to another library."""


def onednn_serves(tensor: Tensor) -> bool:
    """Return True for float32 on a CPU whose build of torch has oneDNN."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def onednn_pays(queries: Tensor, keys: Tensor) -> bool:
    """Return True where products in the queries' precision are faster here than by `mm`: float32, a CPU, not small."""
    return onednn_serves(queries) and keys.numel() > SMALLEST


def dot_products(queries: Tensor, keys: Tensor) -> Tensor:
    """Return `queries @ keys.T` by a convolution: `(n, D)`, `(K, D)` → `(n, K)`, a transposed view.

    The keys are the pixels of a picture and the queries the filters of a 1 × 1 convolution. Torch gives it to oneDNN
    on one thread only if it is dilated, which changes nothing for one pixel.
    """
    return F.conv2d(_as_picture(keys), queries[:, :, None, None], dilation=2)[0, :, :, 0]


def weighted_sums(weights: Tensor, keys: Tensor) -> Tensor:
    """Return `weights @ keys` as the gradient into the filters of `dot_products`: `(n, K)`, `(K, D)` → `(n, D)`.

    Args:
        weights: in the layout of `dot_products`.
        keys: contiguous.
    """
    filters = keys.new_empty(len(weights), keys.shape[1], 1, 1)
    one, none = [1, 1], [0, 0]
    gradients = torch.ops.aten.convolution_backward(
        _as_picture(weights.mT),
        _as_picture(keys),
        filters,
        None,
        one,
        none,
        [2, 2],
        False,
        none,
        1,
        [False, True, False],
    )
    return gradients[1].flatten(1)


def _as_picture(rows: Tensor) -> Tensor:
    """View `(K, D)` as a picture `(1, D, K, 1)`, channels last."""
    return rows.view(1, len(rows), 1, -1).permute(0, 3, 1, 2)
