"""The principal components of features as colours."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.functional.propagation.sizing import Size

from .overlays import Picture, as_pictures, captioned, contact_sheet, resized


def principal_colours(features: Tensor, normalise: bool = True) -> Tensor:
    """Return the three principal components of feature maps as red, green and blue; one analysis over all frames.

    So the same colour is the same content in all of them. The largest loading of each component is made positive, so
    that a picture does not turn into its negative from one epoch to the next for no reason. The range of a component
    is that of all but its most extreme hundredths.

    Args:
        features: `(T, C, h, w)`.
        normalise: l2-normalise over the channels first, as most protocols do.

    Returns:
        Float32 `(T, 3, h, w)` in [0, 1]; 0.5 in components that do not vary.

    Raises:
        ValueError: for another shape, or fewer than two cells.
    """
    if features.ndim != 4 or features[:, 0].numel() < 2:
        raise ValueError(f"features must be (T, C, h, w) with two cells or more, got {tuple(features.shape)}")
    frames, channels, height, width = features.shape
    if normalise:
        features = F.normalize(features.float(), dim=1)
    points = features.movedim(1, -1).reshape(-1, channels).double()
    points = points - points.mean(0)
    _, vectors = torch.linalg.eigh(points.T @ points)  # ascending
    axes = vectors.flip(1)[:, :3]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    values = F.pad(points @ (axes * largest.sign()), (0, 3 - axes.shape[1]))
    cut = len(values) // 100
    ordered = values.sort(0).values
    low, high = ordered[cut], ordered[len(values) - 1 - cut]
    span = high - low
    varies = span > 1e-6 * span.max().clamp_min(1e-6)
    colours = torch.where(varies, (values - low) / span.where(varies, torch.ones_like(span)), 0.5).clamp(0, 1)
    return colours.float().view(frames, height, width, 3).permute(0, 3, 1, 2)


def feature_sheet(
    frames: Tensor,
    features: Tensor,
    covered: Size | None = None,
    names: Sequence[str] | None = None,
    width: int = 240,
) -> Picture:
    """Draw frames, and below each of them the principal components of its features, laid over it.

    Args:
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        features: `(T, C, h, w)`, see `callbacks.tracking.frame_encoder.frame_features`.
        covered: what the feature map covers, in pixels of the frame; None is the frame.
        names: names of the frames; by default their numbers.
        width: width of one picture, pixels.

    Returns:
        uint8 `(H', W', 3)`.

    Raises:
        ValueError: if there are not as many maps as frames.
    """
    if len(frames) != len(features):
        raise ValueError(f"{len(frames)} frames, but features of {len(features)}")
    height, right = frames.shape[-2:]
    colours = F.interpolate(principal_colours(features), covered or (height, right), mode="bilinear")
    colours = colours[:, :, :height, :right].cpu()
    pictures = frames.cpu() if frames.is_floating_point() else frames.cpu().float() / 255
    grey = pictures.float().mean(1, keepdim=True)
    names = names or [f"frame {number}" for number in range(len(frames))]
    pairs = zip(as_pictures(frames), as_pictures(0.85 * colours + 0.15 * grey), strict=True)
    stacked = [np.concatenate([resized(item, width) for item in pair]) for pair in pairs]
    panels = [captioned(picture, name) for picture, name in zip(stacked, names, strict=True)]
    return contact_sheet(panels, columns=len(panels), width=width)
