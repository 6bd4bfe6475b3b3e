"""Frames with objects, boxes and points drawn for viewing, each with a label in a colour that stands out."""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .overlays import Picture, as_picture

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

HUES = 24
SHADES = ((1.0, 1.0), (0.55, 1.0), (1.0, 0.7))
"""Saturation and value of the candidates."""
DARKEST = 45.0
"""Least lightness of a candidate: pure blue, for one, is too dark for a line."""
THUMBNAIL = 32
FIFTH = 5
"""Percentile of a colour's distances to the picture's pixels that counts as its distance to the picture."""


def distinct_colours(count: int, picture: Picture | None = None) -> list[Colour]:
    """Choose colours one by one, each as far as possible from those before it and from the picture.

    Distances are Euclidean in CIE Lab. A colour is as far from the picture as the nearest twentieth of its pixels
    allow. There are about 50 candidates; more colours than that repeat.

    Args:
        count: number of colours.
        picture: uint8 RGB `(H, W, 3)`; None: only the colours' own distances count.

    Returns:
        `count` colours; the same for the same picture.
    """
    candidates = np.array(_candidates(), np.uint8)
    lab = lab_of(candidates)
    room = np.full(len(lab), np.inf)
    if picture is not None:
        room = np.percentile(_distances(lab, lab_of(_thumbnail(picture))), FIFTH, axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(lab))):
        best = int(room.argmax()) if np.isfinite(room).any() else 0
        chosen.append(best)
        room = np.minimum(room, _distances(lab, lab[best : best + 1])[:, 0])
    return [_plain(candidates[chosen[number % len(chosen)]]) for number in range(count)]


def lab_of(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE Lab of RGB colours `(N, 3)`."""
    import cv2

    pixels = (colours.reshape(1, -1, 3) / 255).astype(np.float32)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0], np.float64)


def _candidates() -> list[Colour]:
    mixed = [colorsys.hsv_to_rgb(number / HUES, *shade) for shade in SHADES for number in range(HUES)]
    found = [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in mixed]
    light = lab_of(np.array(found, np.uint8))[:, 0] >= DARKEST
    return [colour for colour, enough in zip(found, light, strict=True) if enough]


def _thumbnail(picture: Picture) -> NDArray[np.uint8]:
    import cv2

    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).reshape(-1, 3)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2), np.float64)


def _plain(colour: NDArray[np.uint8]) -> Colour:
    red, green, blue = colour.tolist()
    return red, green, blue


DARK, LIGHT = (0, 0, 0), (255, 255, 255)


def thickness_of(size: Sequence[int]) -> int:
    """Return the width of lines, pixels, for pictures of (height, width): 2 at 240p, 4 at 480p, 9 at 1080p."""
    return max(2, round(min(size[:2]) / 120))


def _line(unit: int) -> tuple[int, int]:
    """Return the widths of a bright line and of the dark one around it."""
    bright = max(2, round(0.7 * unit))
    return bright, bright + 2 * max(1, round(unit / 4))


def draw_masks(
    frame: Tensor, mask: Tensor, colours: Mapping[int, Colour], labels: Mapping[int, str] | None = None
) -> Picture:
    """Tint each object, outline it with a bright line within a dark one, and label it above its largest part.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        mask: ids `(H, W)` uint8, 0 is background.
        colours: colour of each object.
        labels: labels of the objects; None: their ids.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture, ids = as_picture(frame), mask.cpu().numpy()
    present = [number for number in np.unique(ids).tolist() if number]
    table = np.zeros((256, 3), np.float32)
    for number in present:
        table[number] = colours[number]
    inside = ids > 0
    picture[inside] = (0.55 * picture[inside] + 0.45 * table[ids[inside]]).round().astype(np.uint8)
    outlines = {
        number: cv2.findContours((ids == number).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        for number in present
    }
    bright, dark = _line(thickness_of(picture.shape))
    for number, outline in outlines.items():
        cv2.drawContours(picture, outline, -1, DARK, dark, cv2.LINE_AA)
        cv2.drawContours(picture, outline, -1, colours[number], bright, cv2.LINE_AA)
    for number, outline in outlines.items():
        largest = max(outline, key=cv2.contourArea)[:, 0]
        column, row = largest[largest[:, 1].argmin()].tolist()
        write_label(picture, str(number) if labels is None else labels[number], (column, row), colours[number])
    return picture


def draw_boxes(frame: Tensor, boxes: Any, colours: Sequence[Colour], labels: Sequence[str]) -> Picture:
    """Draw boxes, each a bright line within a dark one, with a label above its corner.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        boxes: left, top, width, height, an array or tensor `(N, 4)`, where (0, 0) is the corner of the first pixel;
            they may leave the frame; those that are not finite are left out.
        colours: colour of each.
        labels: label of each; an empty one is not drawn.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    (bright, dark), limit = _line(thickness_of(picture.shape)), 4 * max(picture.shape)  # OpenCV draws in 32 bits
    boxes = np.asarray(boxes)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], 1)
    shown = np.isfinite(corners).all(1)
    pixels = np.clip(np.nan_to_num(corners), -limit, limit).round().astype(int).tolist()
    for (left, top, right, bottom), colour, drawn in zip(pixels, colours, shown, strict=True):
        if drawn:
            cv2.rectangle(picture, (left, top), (right, bottom), DARK, dark, cv2.LINE_AA)
            cv2.rectangle(picture, (left, top), (right, bottom), colour, bright, cv2.LINE_AA)
    for (left, top, _, _), colour, label, drawn in zip(pixels, colours, labels, shown, strict=True):
        if drawn and label:
            write_label(picture, label, (left, top), colour)
    return picture


def draw_points(frame: Tensor, found: Tensor, names: Sequence[str], colours: Sequence[Colour] | None = None) -> Picture:
    """Draw a dot for each point, each in its own colour, with its name.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: x, y, score `(K, 3)`; points whose x is NaN are left out.
        names: names of the points.
        colours: colours of the points; None: white.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    unit = thickness_of(picture.shape)
    for number, (name, (x, y, _)) in enumerate(zip(names, found.tolist(), strict=True)):
        if x == x:
            position, colour = (round(x), round(y)), colours[number] if colours else LIGHT
            cv2.circle(picture, position, unit + 2, DARK, -1, cv2.LINE_AA)
            cv2.circle(picture, position, unit + 1, LIGHT, -1, cv2.LINE_AA)
            cv2.circle(picture, position, unit, colour, -1, cv2.LINE_AA)
            write_name(picture, name, position)
    return picture


def write_label(picture: Picture, text: str, position: tuple[int, int], colour: Colour) -> None:
    """Write a text in black or white on a ground of a colour, above and right of a position, shifted if it would be cut
    off.

    Args:
        picture: uint8 RGB `(H, W, 3)`; it is written into.
        text: the label.
        position: x, y of what is labelled, pixels.
        colour: colour of the ground.
    """
    import cv2

    (left, up), (width, height), below = _position_of_text(picture, text, position)
    edge = max(1, thickness_of(picture.shape) // 2)
    corners = (left - edge, up - height - edge), (left + width + edge, up + below)
    cv2.rectangle(picture, *corners, colour, -1)
    cv2.rectangle(picture, *corners, DARK, 1)
    ink = DARK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else LIGHT
    scale, bold = _letters(picture)
    cv2.putText(picture, text, (left, up), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, bold, cv2.LINE_AA)


def write_name(picture: Picture, text: str, position: tuple[int, int]) -> None:
    """Write a text in white within black, above and right of a position, shifted if it would be cut off.

    Args:
        picture: uint8 RGB `(H, W, 3)`; it is written into.
        text: the name.
        position: x, y of what is named, pixels.
    """
    import cv2

    at, _, _ = _position_of_text(picture, text, position)
    scale, bold = _letters(picture)
    for shade, thickness in ((DARK, bold + 2), (LIGHT, bold)):
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thickness, cv2.LINE_AA)


def _letters(picture: Picture) -> tuple[float, int]:
    """Return the scale and the thickness of letters."""
    unit = thickness_of(picture.shape)
    return max(0.4, unit / 8), max(1, unit // 3)


def _position_of_text(
    picture: Picture, text: str, position: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Return where a text begins, its size, and how far it reaches below."""
    import cv2

    unit = thickness_of(picture.shape)
    scale, bold = _letters(picture)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, bold + 2)
    left = position[0] + 2 * unit
    if left + width > picture.shape[1]:
        left = max(0, min(position[0] - 2 * unit, picture.shape[1]) - width)
    up = max(height + 1, min(position[1] - 2 * unit, picture.shape[0] - below))
    return (max(0, left), up), (width, height), below
