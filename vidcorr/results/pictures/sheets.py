"""Pictures of training and evaluation: clips, features and heat maps."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...functional.propagation.coding import Size
from ...functional.propagation.matches import affinity_of_cells
from ...functional.propagation.propagate import LabelPropagator
from ...protocols import LabelProtocol
from .overlays import FOUND, Picture, as_picture, captioned, contact_sheet, resized

HALVES = ((31, 119, 180), (214, 108, 14))
"""Colours of the first and the second half of a clip: blue and orange."""
MOST_REFERENCES = 5
"""Most reference frames in a sheet of heat maps."""


def clip_sheet(clip: Tensor, frame_index: Tensor | None = None, rows: int = 8, width: int = 112) -> Picture:
    """Draw clips of a batch, a clip per row; each frame's caption is its index: uint8 `(H', W', 3)`.

    Captions are blue in the first half of a clip and orange in the second; the halves are the two views of VFS.

    Args:
        clip: `(B, T, 3, H, W)`, uint8 or float in [0, 1].
        frame_index: `(B, T)`, indices of the frames in their videos; None: their indices in the clip.
        rows: largest number of clips.
        width: width of a frame, pixels.
    """
    length = clip.shape[1]
    if frame_index is None:
        frame_index = torch.arange(length).expand(len(clip), -1)
    panels: list[Picture] = []
    for frames, numbers in zip(clip[:rows], frame_index[:rows].tolist(), strict=True):
        for place, frame in enumerate(frames):
            colour = HALVES[2 * place // length]
            panels.append(captioned(resized(as_picture(frame), width), str(int(numbers[place])), colour))
    sheet = contact_sheet(panels, columns=length, width=width)
    return captioned(sheet, "frame numbers; orange: second half")  # short enough to fit above two frames


def colour_basis(features: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit three principal components to feature maps; return a function that colours maps by them.

    A colour has the same meaning in all maps that the function colours: `(N, C, h, w)` → float32 `(N, 3, h, w)` in [0,
        1], 0.5
    in components that do not vary. The largest loading of each component is made positive, so that pictures do not
    invert between epochs. Colours 0 and 1 are the 1st and the 99th percentile of the fitted cells; values beyond are
    cut.

    Args:
        features: `(T, C, h, w)`, the maps to fit; l2-normalised here over the channels, as by most protocols.
    """
    cells = _cells(features)
    mean = cells.mean(0)
    centred = cells - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors.flip(1)[:, :3]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))  # largest loading of each axis, with its sign
    axes = F.pad(axes * largest.sign(), (0, 3 - axes.shape[1]))  # zeros for channels below three
    ordered = (centred @ axes).sort(0).values
    cut = len(cells) // 100
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
    height, width = frames.shape[-2:]
    covering = F.interpolate(maps, covered_size or (height, width), mode="bilinear")
    return covering[:, :, :height, :width].cpu()


def heat_map_sheet(
    features: Tensor,
    point: Tensor | Sequence[int],
    frames: Tensor,
    protocol: LabelProtocol,
    covered_size: Size | None = None,
    names: Sequence[str] | None = None,
    width: int = 300,
    propagator: Callable[[Tensor, Any], LabelPropagator] = LabelPropagator,
    network: object = None,
) -> Picture:
    """Draw the weights with which a cell of the last frame takes its label from the cells of reference frames.

    The sheet shows the last frame with a dot on the query cell, then the up to five reference frames of the largest sum
    of weights, in the order of time, each under a heat map of its weights. A protocol with the compactness prior has
    two rows: with the prior (Liir, Eq. 7), and without it (Eq. 1, the softmax). The brightest colour of a row is the
    row's largest weight. A caption states the sum of a reference's weights, which is its share of the query's label,
    and its largest weight. The mixture of the prior is not normalised, so shares may exceed 100 %.
    Source: Liir, Figures 3d, 4b and 5. Other arguments are those of `feature_sheet`.

    Args:
        point: y and x of the query cell, in feature cells.
        protocol: references, neighbourhood, top-k, temperature, border and mixture of the matches.
        covered_size: height and width that a feature map covers, in pixels of the frame; None: the frame's.
        width: width of a frame, pixels.
        propagator: `LabelPropagator`, or a user's rule of its signature, whose weights are drawn.
        network: the network that a user's rule with learnt numbers reads as its attribute `network`; else it has no
            effect.

    Returns:
        uint8 `(H', W', 3)`.

    Raises:
        ValueError: for fewer than two frames, a point outside the map, or other numbers of frames and maps.
    """
    if len(frames) != len(features):
        raise ValueError(f"expected a feature map per frame, got {len(features)} maps and {len(frames)} frames")
    names = names or [f"frame {index}" for index in range(len(frames))]
    points = torch.as_tensor(point).cpu().reshape(1, 2)
    affinity = partial(affinity_of_cells, features, points, propagator=propagator, network=network)
    propagated = affinity(protocol)  # with the prior, if the protocol has one
    weights_of_rows = {"": propagated.weights[0]}  # (references, h, w) of the one query cell
    if protocol.mixture_components is not None:
        without_prior = affinity(protocol.with_changes(mixture_components=None))
        weights_of_rows = {", with the prior": propagated.weights[0], ", without": without_prior.weights[0]}
    sums = propagated.weights[0].sum((1, 2))  # by reference
    shown = sorted(sums.topk(min(MOST_REFERENCES, len(sums))).indices.tolist())
    drawn = [pale(resized(as_picture(frame), width)) for frame in frames]
    covered = torch.tensor(covered_size or frames.shape[-2:])
    cell_size = covered / torch.tensor(features.shape[-2:]) * width / frames.shape[-1]  # in pixels of the drawn frames
    drawn_query = with_dot(drawn[-1], points[0], cell_size)
    panels = []
    for text, weights in weights_of_rows.items():
        panels.append(captioned(drawn_query, f"{names[-1]}{text}"))
        heats = _over_frames(weights[shown, None].float(), covered_size, frames)[:, 0]
        largest = max(float(weights.max()), 1e-12)  # all weights may be 0
        for index, heat in zip(shown, heats, strict=True):
            number = propagated.frames[index]  # index of the reference among the frames
            of_frame = weights[index]
            caption = f"{names[number]}: {of_frame.sum():.0%} of the label, a cell at most {of_frame.max():.1%}"
            panels.append(captioned(heated(drawn[number], heat / largest), caption))
    return contact_sheet(panels, columns=1 + len(shown), width=width)


def with_dot(picture: Picture, cell: Tensor, cell_size: Tensor) -> Picture:
    """Return a copy of an image with a red dot in the middle of a feature cell.

    Args:
        picture: uint8 `(H, W, 3)`.
        cell: row and column of the cell.
        cell_size: height and width of a cell, in pixels of the image.
    """
    y, x = ((cell + 0.5) * cell_size - 0.5).round().int().tolist()  # OpenCV's (0, 0) is the middle of a pixel
    dotted = picture.copy()
    cv2.circle(dotted, (x, y), 5, FOUND, -1, cv2.LINE_AA)
    return dotted


def heated(picture: Picture, heat: Tensor) -> Picture:
    """Return a darkened grey image under a heat map.

    Args:
        picture: uint8 `(H, W, 3)`.
        heat: `(h, w)` in [0, 1], resized to the image; brightness and opacity grow with its square root.

    Example:
        >>> picture = np.full((2, 2, 3), 100, np.uint8)
        >>> heated(picture, torch.tensor([[0.0, 1.0], [0.0, 1.0]]))[0].tolist()
        [[60, 60, 60], [252, 255, 164]]
    """
    levels = (255 * heat.clamp(0, 1).sqrt()).round().to(torch.uint8).numpy()
    levels = cv2.resize(levels, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    opacity = levels[..., None] / 255
    dark = 0.6 * picture.mean(2, keepdims=True)  # so that the heat stands out
    return (opacity * colours + (1 - opacity) * dark).round().astype(np.uint8)


def pale(picture: Picture) -> Picture:
    """Return an image, uint8 `(H, W, 3)`, with half of its saturation: the mean of each colour and its grey."""
    return ((picture + picture.mean(2, keepdims=True)) / 2).round().astype(np.uint8)
