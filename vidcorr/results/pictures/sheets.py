"""Pictures of training and evaluation: clips, features and heat maps."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...functional.propagation.coding import Size
from .overlays import Picture, as_picture, captioned, contact_sheet, resized

HALVES = ((31, 119, 180), (214, 108, 14))
"""Colours of the first and the second half of a clip: blue and orange."""


def clip_sheet(clip: Tensor, frame_index: Tensor | None = None, rows: int = 8, width: int = 112) -> Picture:
    """Draw clips of a batch, a clip per row; each frame's caption is its index.

    Captions are blue in the first half of a clip and orange in the second; the halves are the two views of VFS.

    Args:
        clip: `(B, T, 3, H, W)`, uint8 or float in [0, 1].
        frame_index: `(B, T)`, indices of the frames in their videos; None: their indices in the clip.
        rows: largest number of clips.
        width: width of a frame, pixels.

    Returns:
        uint8 `(H', W', 3)`.

    Example:
        >>> clip_sheet(torch.zeros(9, 4, 3, 32, 64, dtype=torch.uint8), rows=2, width=32).shape
        (90, 140, 3)
    """
    length = clip.shape[1]
    if frame_index is None:
        frame_index = torch.arange(length).expand(len(clip), -1)
    panels: list[Picture] = []
    for frames, numbers in zip(clip[:rows], frame_index[:rows].tolist(), strict=True):
        for place, frame in enumerate(frames):
            colour = HALVES[2 * place // length]  # 0: first half, 1: second half
            panels.append(captioned(resized(as_picture(frame), width), str(int(numbers[place])), colour))
    sheet = contact_sheet(panels, columns=length, width=width)
    return captioned(sheet, "frame numbers; orange: second half")  # short enough to fit above two frames


def colour_basis(features: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit three principal components to feature maps; return a function that colours maps by them.

    A colour has the same meaning in all maps that the function colours. The largest loading of each component is made
    positive, so that pictures do not invert between epochs. Colours 0 and 1 are the 1st and the 99th percentile of the
    fitted cells; values beyond are cut.

    Args:
        features: `(T, C, h, w)`, the maps to fit; l2-normalised here over the channels, as by most protocols.

    Returns:
        Function from maps `(N, C, h, w)` to float32 `(N, 3, h, w)` in [0, 1]; 0.5 in components that do not vary.

    Example:
        >>> features = torch.rand(2, 8, 4, 4)
        >>> colours = colour_basis(features)(features)
        >>> colours.shape, bool(colours.min() >= 0), bool(colours.max() <= 1)
        (torch.Size([2, 3, 4, 4]), True, True)
    """
    cells = _cells(features)
    mean = cells.mean(0)
    centred = cells - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending
    axes = vectors.flip(1)[:, :3]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))  # largest loading of each axis, with its sign
    axes = F.pad(axes * largest.sign(), (0, 3 - axes.shape[1]))  # zeros for channels below three
    ordered = (centred @ axes).sort(0).values
    cut = len(cells) // 100  # cells below the 1st percentile
    low = ordered[cut]
    span = ordered[len(cells) - 1 - cut] - low
    varies = span > 1e-6 * span.max().clamp_min(1e-6)  # a smaller span comes from rounding

    def colours(maps: Tensor) -> Tensor:
        """Return RGB in [0, 1], `(N, 3, h, w)`, of maps `(N, C, h, w)`."""
        # `_cells` has a row per cell, `(N · h · w, C)`, and `axes` are the three fitted components, `(C, 3)`; `low`,
        # the 1st percentile of the fitted cells, becomes 0, and `low + span`, the 99th, becomes 1
        scaled = ((_cells(maps) - mean) @ axes - low) / span.where(varies, 1.0)
        # a component that does not vary is drawn as 0.5
        shown = torch.where(varies, scaled, 0.5).clamp(0, 1)
        return shown.float().unflatten(0, (len(maps), *maps.shape[2:])).permute(0, 3, 1, 2)

    return colours


def _cells(features: Tensor) -> Tensor:
    """Return feature maps `(T, C, h, w)` as cells of unit length, `(T · h · w, C)` float64; NaN becomes 0."""
    cells = F.normalize(features.float(), dim=1).movedim(1, -1).flatten(0, 2).double()
    return cells.nan_to_num(0, 0, 0)  # NaN features should end a training by its loss, not by an error here


def feature_sheet(
    frames: Tensor,
    features: Tensor,
    covered_size: Size | None = None,
    names: Sequence[str] | None = None,
    width: int = 240,
) -> Picture:
    """Draw frames in a row, and below each its features: three principal components as RGB, over the grey frame.

    Args:
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        features: `(T, C, h, w)` of the frames, for example from `vidcorr.tracking.frame_encoder.FrameEncoder`.
        covered_size: height and width that a feature map covers, in pixels of the frame: more than the frame's if it
            was padded; None: the frame's.
        names: names of the frames; None: "frame 0", "frame 1", …
        width: width of a picture, pixels.

    Returns:
        uint8 `(H', W', 3)`.

    Raises:
        ValueError: if the numbers of maps and frames differ.

    Example:
        >>> frames, features = torch.zeros(2, 3, 16, 32), torch.rand(2, 8, 4, 8)
        >>> feature_sheet(frames, features, width=32).shape  # two rows of 16 px and a caption of 18
        (50, 68, 3)
    """
    if len(features) != len(frames):
        raise ValueError(f"{len(features)} maps do not fit {len(frames)} frames")
    colours = _over_frames(colour_basis(features)(features), covered_size, frames)
    values = frames.cpu().float()
    if not frames.is_floating_point():
        values = values / 255
    grey = values.mean(1, keepdim=True)
    names = names or [f"frame {index}" for index in range(len(frames))]
    panels: list[Picture] = []
    # a little of the grey frame shows where things are
    for frame, tinted, name in zip(frames, 0.85 * colours + 0.15 * grey, names, strict=True):
        above = resized(as_picture(frame), width)
        below = resized(as_picture(tinted), width)
        panels.append(captioned(np.concatenate([above, below]), name))
    return contact_sheet(panels, columns=len(panels), width=width)


def _over_frames(maps: Tensor, covered_size: Size | None, frames: Tensor) -> Tensor:
    """Resize maps to the size in pixels that they cover, and crop them to the frames, without the padding.

    Args:
        maps: `(N, C, h, w)`.
        covered_size: height and width that the maps cover, in pixels of the frame; None: the frames'.
        frames: `(…, H, W)`.

    Returns:
        `(N, C, H, W)` on the CPU.
    """
    height, width = frames.shape[-2:]
    covering = F.interpolate(maps, covered_size or (height, width), mode="bilinear")
    return covering[:, :, :height, :width].cpu()
