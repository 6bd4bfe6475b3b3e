"""Pictures of the matches of a few cells of a frame in the frames before it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.matches import Matches, matches_of_cells
from lightning_modules.functional.propagation.sizing import Size

from .overlays import Picture, as_pictures, captioned, contact_sheet, resized

POINT_COLOURS = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (240, 50, 230), (70, 240, 240),
    (170, 110, 40), (191, 239, 69),
)  # fmt: skip
"""One for each point; nine that are easy to distinguish."""


def grid_points(size: Size) -> Tensor:
    """Return nine evenly spaced cells of a map (h, w), away from its border: long `(9, 2)`, y and x."""
    ys, xs = (((torch.arange(3) + 0.5) * side / 3).long() for side in size)
    return torch.cartesian_prod(ys, xs)


def match_sheet(
    frames: Tensor,
    features: Tensor,
    protocol: PropagationProtocol,
    points: Tensor | None = None,
    frame: int | None = None,
    count: int | None = None,
    covered: Size | None = None,
    names: Sequence[str] | None = None,
    most: int = 5,
    width: int = 400,
) -> Picture:
    """Draw query points in a frame, and in its reference frames the cells that they would take their labels from.

    Each point has a colour. In a reference frame a ring marks where the point is in the query frame, and lines lead
    from it to its matches: the larger and the less transparent a dot, the more weight it has. A caption states what
    fraction of all weights is in the frame. The frames have lost half of their colour.

    Args:
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        features: `(T, C, h, w)`, see `callbacks.tracking.frame_encoder.frame_features`.
        protocol: see `matches_of_cells`.
        points: long `(N, 2)`, y and x in feature cells; None is a grid of nine.
        frame: the query; None is the last.
        count: matches of each point; None is the protocol's top-k.
        covered: what the feature map covers, in pixels of the frame; None is the frame.
        names: names of the frames; by default their numbers.
        most: reference frames to show, those with most weight.
        width: width of one frame, pixels.

    Returns:
        uint8 `(H', W', 3)`: the query, then references in time order.

    Raises:
        ValueError: as of `matches_of_cells`.
    """
    height, right = frames.shape[-2:]
    grid = features.shape[-2], features.shape[-1]
    query = len(frames) - 1 if frame is None else frame
    points = grid_points(grid) if points is None else points
    matches = Matches(*(item.cpu() for item in matches_of_cells(features, points, protocol, query, count)))
    names = names or [f"frame {number}" for number in range(len(frames))]
    cell = torch.tensor(covered or (height, right)) / torch.tensor(grid) * width / right
    starts = ((points.cpu() + 0.5) * cell).numpy()
    ends = ((matches.cells + 0.5) * cell).numpy()
    fractions = torch.zeros(len(frames)).index_add_(0, matches.frames.flatten(), matches.weights.flatten().float())
    fractions /= fractions.sum()
    shown = sorted(number for number in fractions.argsort(descending=True)[:most].tolist() if fractions[number] > 0)
    pictures = [_pale(resized(picture, width)) for picture in as_pictures(frames[[query, *shown]])]
    panels = [captioned(_draw_points(pictures[0], starts), f"{names[query]}: the points")]
    for number, picture in zip(shown, pictures[1:], strict=True):
        weights = torch.where(matches.frames == number, matches.weights, 0).numpy()
        text = f"{names[number]}: {100 * fractions[number]:.0f} % of the weights"
        panels.append(captioned(_draw_matches(picture, starts, ends, weights), text))
    return contact_sheet(panels, columns=len(panels) if len(panels) < 4 else -(-len(panels) // 2), width=width)


def _pale(picture: Picture) -> Picture:
    """Remove half of the colour, so that the points stand out."""
    return ((picture + picture.mean(2, keepdims=True)) / 2).round().astype(np.uint8)


def _draw_points(picture: Picture, points: np.ndarray) -> Picture:
    import cv2

    picture = picture.copy()
    for (y, x), colour in zip(points.tolist(), _colours(len(points)), strict=True):
        cv2.circle(picture, _fixed(x, y), 7 << SHIFT, (255, 255, 255), -1, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, _fixed(x, y), 5 << SHIFT, colour, -1, cv2.LINE_AA, SHIFT)
    return picture


def _draw_matches(picture: Picture, starts: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> Picture:
    """Draw light matches first, so that the heavy ones lie on top."""
    import cv2

    picture = picture.copy()
    colours = _colours(len(starts))
    for point, match in zip(*np.unravel_index(weights.argsort(axis=None), weights.shape), strict=True):
        weight = float(weights[point, match])
        if weight < 0.005:
            continue
        (y0, x0), (y, x) = starts[point].tolist(), ends[point, match].tolist()
        drawn = picture.copy()
        cv2.line(drawn, _fixed(x0, y0), _fixed(x, y), colours[point], 1, cv2.LINE_AA, SHIFT)
        radius = round((2 + 6 * weight**0.5) * (1 << SHIFT))
        cv2.circle(drawn, _fixed(x, y), radius, colours[point], -1, cv2.LINE_AA, SHIFT)
        opacity = min(1.0, 0.4 + weight)
        picture = np.asarray(cv2.addWeighted(drawn, opacity, picture, 1 - opacity, 0), np.uint8)
    for (y, x), colour in zip(starts.tolist(), colours, strict=True):
        cv2.circle(picture, _fixed(x, y), 5 << SHIFT, (255, 255, 255), 2, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, _fixed(x, y), 5 << SHIFT, colour, 1, cv2.LINE_AA, SHIFT)
    return picture


SHIFT = 4
"""OpenCV takes positions in integer multiples of 2^-SHIFT pixels."""


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round((x - 0.5) * (1 << SHIFT)), round((y - 0.5) * (1 << SHIFT))


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [POINT_COLOURS[number % len(POINT_COLOURS)] for number in range(count)]
