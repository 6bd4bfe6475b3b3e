"""Frames with labels drawn over them: masks, boxes, points, joints, tracks; and contact sheets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datamodules.reading.mask_files import davis_palette

from .colours import Colour, Picture

DAVIS_COLOURS = davis_palette()

DARK, LIGHT = (0, 0, 0), (255, 255, 255)
TRUTH, FOUND = LIGHT, (230, 40, 40)

LIMBS = (
    (2, 0), (0, 1), (0, 3), (0, 4), (3, 7), (4, 8), (7, 11), (8, 12),
    (1, 5), (1, 6), (5, 9), (6, 10), (9, 13), (10, 14),
)  # fmt: skip
"""Pairs of JHMDB's joints that a line connects."""


def as_picture(frame: Tensor) -> Picture:
    """Return a frame, uint8 `(3, H, W)`, as a new picture `(H, W, 3)`, to be drawn into."""
    return np.array(frame.permute(1, 2, 0).cpu().numpy(), order="C")


def thickness_of(size: Sequence[int]) -> int:
    """Return the width of lines, pixels, for images of (height, width): 2 at 240p, 4 at 480p, 9 at 1080p."""
    return max(2, round(min(size[:2]) / 120))


def _line(unit: int) -> tuple[int, int]:
    """Return the widths of a bright line and of the dark one around it."""
    bright = max(2, round(0.7 * unit))
    return bright, bright + 2 * max(1, round(unit / 4))


def overlay_masks(
    frame: Tensor,
    mask: Tensor,
    colours: Mapping[int, Colour] | NDArray[np.uint8] = DAVIS_COLOURS,
    labelled: bool = False,
) -> Picture:
    """Tint each object, and outline it with a bright line within a dark one.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        mask: uint8 ids `(H, W)`, 0 is background.
        colours: RGB of each id; DAVIS's by default.
        labelled: write the id above the largest part of each object.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Raises:
        ValueError: if the sizes differ.
    """
    import cv2

    if frame.shape[1:] != mask.shape:
        raise ValueError(f"overlay: the frame is {tuple(frame.shape[1:])}, the mask {tuple(mask.shape)}")
    picture, ids = as_picture(frame), mask.cpu().numpy()
    bright, dark = _line(thickness_of(picture.shape))
    outlines = {}
    for number in np.unique(ids[ids > 0]).tolist():
        inside, colour = ids == number, np.asarray(colours[number], np.float32)
        picture[inside] = (0.55 * picture[inside] + 0.45 * colour).round().astype(np.uint8)
        outline, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        outlines[number] = outline, colour.tolist()
    for outline, colour in outlines.values():
        cv2.drawContours(picture, outline, -1, DARK, dark, cv2.LINE_AA)
        cv2.drawContours(picture, outline, -1, colour, bright, cv2.LINE_AA)
    for number, (outline, colour) in outlines.items() if labelled else ():
        largest = max(outline, key=cv2.contourArea)[:, 0]
        column, row = largest[largest[:, 1].argmin()].tolist()
        _write_label(picture, str(number), (column, row), colour)
    return picture


def draw_boxes(frame: Tensor, boxes: Any, colours: Sequence[Colour], labels: Sequence[str] = ()) -> Picture:
    """Draw boxes, each a bright line within a dark one, with a label above its corner.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        boxes: left, top, width, height, an array or tensor `(N, 4)`, where (0, 0) is the corner of the first pixel;
            they may leave the frame; those that are not finite are left out.
        colours: colour of each.
        labels: label of each; none: no labels.

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
    for (left, top, _, _), colour, label, drawn in zip(pixels, colours, labels, shown, strict=False):
        if drawn:
            _write_label(picture, label, (left, top), colour)
    return picture


def overlay_boxes(frame: Tensor, found: NDArray[np.float64], truth: NDArray[np.float64] | None = None) -> Picture:
    """Draw the box that was found in red, over the annotated one in white where there is one.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: one-based x, y, width, height; boxes may leave the frame.
        truth: one-based x, y, width, height.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    boxes = [found] if truth is None else [truth, found]
    return draw_boxes(frame, np.stack(boxes) - (1, 1, 0, 0), (TRUTH, FOUND)[-len(boxes) :])


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
            _write_label(picture, name, position)
    return picture


def _write_label(picture: Picture, text: str, position: tuple[int, int], colour: Colour = LIGHT) -> None:
    """Write a text within a dark line, above and right of a position, shifted if it would be cut off."""
    import cv2

    unit = thickness_of(picture.shape)
    font, scale, bold = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, unit / 8), max(1, unit // 3)
    (width, height), below = cv2.getTextSize(text, font, scale, bold + 2)
    left = position[0] + 2 * unit
    if left + width > picture.shape[1]:
        left = min(position[0] - 2 * unit, picture.shape[1]) - width
    up = max(height + 1, min(position[1] - 2 * unit, picture.shape[0] - below))
    for shade, thickness in ((DARK, bold + 2), (colour, bold)):
        cv2.putText(picture, text, (max(0, left), up), font, scale, shade, thickness, cv2.LINE_AA)


def overlay_joints(frame: Tensor, points: Tensor) -> Picture:
    """Draw a frame with the joints of a person, connected limb by limb.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        points: `(15, 2)` x, y in pixels, in the order of JHMDB; negative where a joint was not found.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    positions = points.round().int().tolist()
    drawn = (points >= 0).all(1).tolist()
    colours = DAVIS_COLOURS[1:].tolist()
    for colour, (a, b) in zip(colours, LIMBS, strict=False):
        if drawn[a] and drawn[b]:
            cv2.line(picture, positions[a], positions[b], colour, 2, cv2.LINE_AA)
    for position, shown in zip(positions, drawn, strict=True):
        if shown:
            cv2.circle(picture, position, 3, (255, 255, 255), -1, cv2.LINE_AA)
    return picture


def contact_sheet(pictures: Sequence[Picture], columns: int, width: int = 320, gap: int = 4) -> Picture:
    """Lay pictures of one size side by side, each brought to `width` pixels.

    Args:
        pictures: uint8 `(H, W, 3)` each.
        columns: pictures in a row.
        width: width of one picture in the sheet, pixels.
        gap: between pictures, pixels.

    Returns:
        uint8 `(H', W', 3)`.
    """
    pictures = [resized(picture, width) for picture in pictures]
    height = max(picture.shape[0] for picture in pictures)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * (height + gap), number % columns * (width + gap)
        sheet[y : y + picture.shape[0], x : x + width] = picture
    return sheet


def captioned(picture: Picture, text: str, colour: tuple[int, int, int] = (255, 255, 255), height: int = 18) -> Picture:
    """Put a picture under a line of text.

    Args:
        picture: uint8 `(H, W, 3)`.
        text: what does not fit the picture's width is cut.
        colour: RGB behind the text, which is black or white, whichever can be read.
        height: height of the line, pixels.

    Returns:
        uint8 `(H + height, W, 3)`.
    """
    line = Image.new("RGB", (picture.shape[1], height), colour)
    ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else "white"
    font = ImageFont.load_default(size=0.7 * height)
    ImageDraw.Draw(line).text((height // 5, height / 2), text, fill=ink, font=font, anchor="lm")
    return np.concatenate([np.asarray(line), picture])


def as_pictures(frames: Tensor) -> list[Picture]:
    """Return frames as arrays: `(T, 3, H, W)`, uint8 or float in [0, 1] → T times uint8 `(H, W, 3)`.

    Raises:
        ValueError: for another shape.
    """
    if frames.ndim != 4 or frames.shape[1] != 3:
        raise ValueError(f"frames must be (T, 3, H, W), got {tuple(frames.shape)}")
    if frames.is_floating_point():
        frames = frames.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(frames.permute(0, 2, 3, 1).cpu().contiguous().numpy())


def write_picture(path: Path, picture: Picture) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most `count` different frame numbers from the first to the last of `length` frames."""
    return sorted({round(number * (length - 1) / max(count - 1, 1)) for number in range(count)})


def resized(picture: Picture, width: int) -> Picture:
    """Resize a picture to another width, its aspect kept."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


TAIL = 12
"""Frames of a track that are drawn behind its point."""

JUMP = 0.15
"""Step from frame to frame, as a fraction of the picture's longer side, beyond which no tail is drawn: a lost point."""


def overlay_tracks(
    frame: Tensor,
    points: NDArray[np.float64],
    occluded: NDArray[np.bool_],
    t: int,
    colours: list[tuple[int, int, int]],
    truth: NDArray[np.float64] | None = None,
    truth_occluded: NDArray[np.bool_] | None = None,
) -> Picture:
    """Draw the points of a frame with the last part of their tracks: a dot where visible, a cross where hidden.

    Tails have gaps where a point is hidden or jumps.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        points: x, y `(N, T, 2)` in raster pixels of the frame.
        occluded: `(N, T)`.
        t: number of the frame.
        colours: RGB of each point.
        truth: `(N, T, 2)`; a white ring where it is visible, and a line from it to the point.
        truth_occluded: `(N, T)`.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    mean = picture.reshape(-1, 3).mean(0)
    unit = max(1, round(min(picture.shape[:2]) / 120))
    limit = 4 * max(picture.shape)
    positions = np.clip(np.nan_to_num(points - 0.5, nan=-limit), -limit, limit).round().astype(int)
    for number, colour in enumerate(colours):
        for before in range(max(1, t - TAIL + 1), t + 1):
            step = np.abs(positions[number, before] - positions[number, before - 1]).max()
            if step <= JUMP * max(picture.shape) and not occluded[number, before - 1 : before + 1].any():
                ends = positions[number, before - 1].tolist(), positions[number, before].tolist()
                cv2.line(picture, *ends, _faded(colour, mean, (t - before) / TAIL), unit, cv2.LINE_AA)
    for number, colour in enumerate(colours):
        position = positions[number, t].tolist()
        if truth is not None and truth_occluded is not None and not truth_occluded[number, t]:
            true = np.clip(truth[number, t] - 0.5, -limit, limit).round().astype(int).tolist()
            cv2.line(picture, position, true, TRUTH, 1, cv2.LINE_AA)
            cv2.circle(picture, true, 2 * unit + 1, TRUTH, 1, cv2.LINE_AA)
        if occluded[number, t]:
            size = 4 * unit + 1
            cv2.drawMarker(picture, position, colour, cv2.MARKER_TILTED_CROSS, size, unit, cv2.LINE_AA)
        else:
            cv2.circle(picture, position, unit + 1, colour, -1, cv2.LINE_AA)
    return picture


def _faded(colour: tuple[int, int, int], mean: NDArray[np.float64], age: float) -> tuple[int, int, int]:
    """Mix a colour with the frame's mean: the end of a tail is faint."""
    red, green, blue = (1 - 0.8 * age) * np.array(colour) + 0.8 * age * mean
    return round(red), round(green), round(blue)
