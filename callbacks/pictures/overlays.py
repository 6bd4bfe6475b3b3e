"""Frames with propagated labels drawn over them: masks, joints, boxes, tracks; and contact sheets."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datamodules.reading.mask_files import davis_palette

Picture = NDArray[np.uint8]

DAVIS_COLOURS = davis_palette()

LIMBS = (
    (2, 0), (0, 1), (0, 3), (0, 4), (3, 7), (4, 8), (7, 11), (8, 12),
    (1, 5), (1, 6), (5, 9), (6, 10), (9, 13), (10, 14),
)  # fmt: skip
"""Pairs of JHMDB's joints that a line connects."""


def as_picture(frame: Tensor) -> Picture:
    """Return a frame, uint8 `(3, H, W)`, as a new picture `(H, W, 3)`, to be drawn into."""
    return np.array(frame.permute(1, 2, 0).cpu().numpy(), order="C")


def overlay_masks(
    frame: Tensor, mask: Tensor, opacity: float = 0.5, palette: NDArray[np.uint8] | None = None
) -> Picture:
    """Draw a frame with its objects tinted and outlined.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        mask: uint8 ids `(H, W)`, 0 is background.
        opacity: opacity of the tint, 0 to 1.
        palette: `(256, 3)` RGB of each id; None is DAVIS's.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Raises:
        ValueError: if the sizes differ.
    """
    if frame.shape[1:] != mask.shape:
        raise ValueError(f"overlay: the frame is {tuple(frame.shape[1:])}, the mask {tuple(mask.shape)}")
    picture, ids = frame.permute(1, 2, 0).cpu().numpy().astype(np.float32), mask.cpu().numpy()
    colours = (DAVIS_COLOURS if palette is None else palette)[ids].astype(np.float32)
    inside = ids[..., None] > 0
    tinted = np.where(inside, (1 - opacity) * picture + opacity * colours, picture)
    edge = np.zeros_like(ids, dtype=bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    tinted[edge] = 255
    return tinted.round().astype(np.uint8)


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

TRUTH = (255, 255, 255)


def rainbow(positions: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """Return a colour for each point, RGB, by its height in the picture: neighbours keep similar colours.

    Args:
        positions: x, y `(N, 2)`, where the points begin.
    """
    order = np.argsort(np.argsort(positions[:, 1], kind="stable"), kind="stable") / max(len(positions), 1)
    return [
        (round(255 * red), round(255 * green), round(255 * blue))
        for red, green, blue in (colorsys.hsv_to_rgb(0.85 * float(hue), 0.9, 1.0) for hue in order)
    ]


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


FOUND = (230, 40, 40)


def overlay_boxes(frame: Tensor, found: NDArray[np.float64], truth: NDArray[np.float64] | None = None) -> Picture:
    """Draw the box that was found in red, over the annotated one in white where there is one.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: one-based x, y, width, height; boxes may leave the frame.
        truth: one-based x, y, width, height.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    limit = 4 * max(picture.shape)  # OpenCV draws in 32 bits
    for box, colour in ((truth, TRUTH), (found, FOUND)):
        if box is not None and np.isfinite(box).all():
            left, top = box[:2] - 1
            corners = np.clip([left, top, left + box[2] - 1, top + box[3] - 1], -limit, limit).round().astype(int)
            cv2.rectangle(picture, corners[:2].tolist(), corners[2:].tolist(), colour, 2)
    return picture
