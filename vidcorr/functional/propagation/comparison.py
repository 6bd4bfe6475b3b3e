"""Features as a protocol compares them: of unit length, as they are, or whitened by the first frame of their video."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...protocols import LabelProtocol
from ...protocols.network_input import VideoFeatures

FeatureTransform = Callable[[Tensor], Tensor]
"""Function from features of a frame to the vectors that are compared in place of the features."""


def whitening(frame: Tensor, channels: int | None, power: float, floor: float) -> FeatureTransform:
    """Return the linear transform of features to the principal components of a frame, scaled by their variances.

    Channels of a network are correlated, so a few directions dominate every cosine. The transform subtracts the mean
    feature of the frame, rotates features to the frame's principal components, and multiplies component i by
    `(v_i / v_1 + floor) ** -power`, with v the variances of the components in descending order. Power 0.5 whitens, as
    Jégou and Chum (ECCV 2012, section 3) do for retrieval; a smaller power keeps a part of the differences of variance.

    Args:
        frame: (C, h, w), features of the frame, of unit length.
        channels: number of components that are kept, from the largest variance on; None: all. A frame of n cells has
            n − 1 components.
        power: 0 or more; with 0 components are not scaled.
        floor: above 0; a share of the largest variance, which bounds the factor of components without variance.

    Returns:
        A function: features (C, h, w) of unit length → their components (K, h, w).

    Example:
        >>> frame = torch.tensor([[4.0, -4.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]).view(2, 1, 4)  # of two channels
        >>> whitening(frame, channels=1, power=0.5, floor=1e-9)(frame).abs().round().flatten(1)
        tensor([[4., 4., 0., 0.]])
        >>> whitening(frame, channels=None, power=0.5, floor=1e-9)(frame).abs().round().flatten(1)  # both vary alike
        tensor([[4., 4., 0., 0.],
                [0., 0., 4., 4.]])
        >>> constant = torch.ones(2, 1, 3)
        >>> whitening(constant, channels=None, power=0.5, floor=0.01)(constant).flatten(1)
        tensor([[0., 0., 0.],
                [0., 0., 0.]])
    """
    cells = frame.double().flatten(1)
    mean = cells.mean(1, keepdim=True)
    centred = cells - mean
    covariance = (centred @ centred.T / centred.shape[1]).nan_to_num(0, 0, 0)  # NaN shows in the labels, as elsewhere
    ascending, directions = torch.linalg.eigh(covariance)  # variances, and the components as columns
    variances = ascending.flip(0).clamp_min(0)
    factors = (variances / variances[0].clamp_min(1e-12) + floor) ** -power  # the largest variance is the first
    most = max(1, min(channels or len(cells), cells.shape[1] - 1))  # further components have no variance
    rows = (directions.flip(1) * factors).T[:most].to(frame.dtype)  # a scaled direction each, largest variance first
    offset = mean.to(frame.dtype)[:, :, None]

    def components(features: Tensor) -> Tensor:
        """Return the whitened components (K, h, w) of features (C, h, w)."""
        return torch.tensordot(rows, features - offset, dims=1)

    return components


def of_unit_length(features: Tensor) -> Tensor:
    """Divide features (C, h, w) by their length over the channels.

    Example:
        >>> of_unit_length(torch.tensor([3.0, 4.0]).view(2, 1, 1)).flatten()
        tensor([0.6000, 0.8000])
        >>> of_unit_length(torch.zeros(2, 1, 1)).flatten()
        tensor([0., 0.])
    """
    return features / features.square().sum(-3, keepdim=True).sqrt().clamp_min(1e-12)


def whitened_by(first: Tensor, protocol: VideoFeatures) -> FeatureTransform:
    """Return the transform of features (C, h, w) to whitened components of a video's first frame, of unit length.

    Args:
        first: (C, h, w), features of the first frame.
        protocol: number of components, power and floor.
    """
    unit = of_unit_length(first)
    components = whitening(unit, protocol.whitened_channels, protocol.whitening_power, protocol.whitening_floor)
    return lambda features: of_unit_length(components(of_unit_length(features)))


def comparison(first: Tensor, protocol: LabelProtocol) -> FeatureTransform:
    """Return the transform of features of a video's frames to the vectors that the protocol compares.

    Args:
        first: (C, h, w), features of the video's first frame; a protocol may whiten by them.
        protocol: normalisation of features, and precision.

    Returns:
        A function: features (C, h, w) → (h, w, K), whose dot products are the similarities.
    """
    dtype: torch.dtype = getattr(torch, protocol.precision)
    computed = torch.float64 if dtype == torch.float64 else torch.float32  # rounded to `dtype` at the end
    normalised: FeatureTransform | None = None
    if protocol.feature_normalisation == "whitened":
        normalised = whitened_by(first.to(computed), protocol)
    elif protocol.feature_normalisation == "l2":
        normalised = of_unit_length

    def compared(features: Tensor) -> Tensor:
        """Return features (C, h, w) in the form (h, w, K) whose dot products are the similarities."""
        features = features.to(computed)
        if normalised is not None:
            features = normalised(features)
        return features.to(dtype).permute(1, 2, 0).contiguous()

    return compared
