"""Features as a protocol compares them: of unit length, as they are, or whitened by the first frame of their video."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...protocols import LabelProtocol
from ...protocols.network_input import VideoFeatures

FeatureTransform = Callable[[Tensor], Tensor]
"""Function from features of a frame to the vectors that are compared in place of the features."""


WHITENING_POWER = 0.25
"""Power of a component's variance that divides it; 0.5 whitens in full. Chosen on real videos (docs/results.md)."""
WHITENING_FLOOR = 0.01
"""Added to a variance, as a share of the largest, which bounds the factor of components without variance."""


def whitening(frame: Tensor, channels: int | None) -> FeatureTransform:
    """Return the linear transform of unit features to the principal components of a frame (C, h, w), scaled.

    Channels of a network are correlated, so a few directions dominate every cosine. The transform subtracts the mean
    feature, rotates features to the frame's principal components, and multiplies component i by
    `(v_i / v_1 + floor) ** -power`, with v the variances in descending order. Power 0.5 whitens, as Jégou and Chum
    (ECCV 2012, section 3) do for retrieval; the smaller `WHITENING_POWER` keeps a part of the differences of variance.

    Args:
        channels: number of components that are kept, from the largest variance on; None: all. A frame of n cells has
            n − 1 components.

    Example:
        >>> frame = torch.tensor([[4.0, -4.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]).view(2, 1, 4)  # of two channels
        >>> whitening(frame, channels=1)(frame).abs().round().flatten(1)
        tensor([[4., 4., 0., 0.]])
        >>> whitening(frame, channels=None)(frame).abs().round(decimals=1).flatten(1)
        tensor([[4.0000, 4.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 1.9000, 1.9000]])
        >>> constant = torch.ones(2, 1, 3)
        >>> whitening(constant, channels=None)(constant).unique()
        tensor([0.])
    """
    cells = frame.double().flatten(1)
    mean = cells.mean(1, keepdim=True)
    centred = cells - mean
    # NaN shows in the labels, as elsewhere
    covariance = (centred @ centred.T / centred.shape[1]).nan_to_num(0, 0, 0)
    ascending, directions = torch.linalg.eigh(covariance)
    variances = ascending.flip(0).clamp_min(0)
    shares = variances / variances[0].clamp_min(1e-12)
    factors = (shares + WHITENING_FLOOR) ** -WHITENING_POWER
    # further components have no variance
    most = max(1, min(channels or len(cells), cells.shape[1] - 1))
    rows = (directions.flip(1) * factors).T[:most].to(frame.dtype)
    offset = mean.to(frame.dtype)[:, :, None]

    def components(features: Tensor) -> Tensor:
        return torch.tensordot(rows, features - offset, dims=1)

    return components


def unit_vectors(features: Tensor) -> Tensor:
    """Divide features (C, h, w) by their length over the channels.

    Example:
        >>> unit_vectors(torch.tensor([3.0, 4.0]).view(2, 1, 1)).flatten()
        tensor([0.6000, 0.8000])
        >>> unit_vectors(torch.zeros(2, 1, 1)).flatten()
        tensor([0., 0.])
    """
    return features / features.square().sum(-3, keepdim=True).sqrt().clamp_min(1e-12)


def whitened_by(first: Tensor, protocol: VideoFeatures) -> FeatureTransform:
    """Return the transform of features to unit whitened components of a video's first frame (C, h, w)."""
    unit = unit_vectors(first)
    components = whitening(unit, protocol.whitened_channels)
    return lambda features: unit_vectors(components(unit_vectors(features)))


def comparison(first: Tensor, protocol: LabelProtocol) -> FeatureTransform:
    """Return the transform of features (C, h, w) to the vectors (h, w, K) that the protocol compares."""
    dtype: torch.dtype = getattr(torch, protocol.precision)
    normalised: FeatureTransform | None = None
    if protocol.feature_normalisation == "whitened":
        normalised = whitened_by(first.to(dtype), protocol)
    elif protocol.feature_normalisation == "l2":
        normalised = unit_vectors

    def compared(features: Tensor) -> Tensor:
        features = features.to(dtype)
        if normalised is not None:
            features = normalised(features)
        return features.permute(1, 2, 0).contiguous()

    return compared
