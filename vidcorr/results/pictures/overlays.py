"""Frames with labels drawn over them: masks, boxes, points, joints and tracks; contact sheets of them."""

from collections.abc import Iterable, Sequence
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...videos.masks import davis_palette

Picture = NDArray[np.uint8]
"""An image for people, `(H, W, 3)` uint8 RGB."""
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Label = tuple[str, Sequence[int], Colour]
"""Text, its place x, y in pixels, and its colour."""

DAVIS_COLOURS = davis_palette()
"""Palette of mask files; its first colours are dark."""
DARK: Colour = (0, 0, 0)
LIGHT: Colour = (255, 255, 255)
FOUND: Colour = (230, 40, 40)

HEAD_AND_TRUNK = [(2, 0), (0, 1)]
ARMS = [(0, 3), (0, 4), (3, 7), (4, 8), (7, 11), (8, 12)]
LEGS = [(1, 5), (1, 6), (5, 9), (6, 10), (9, 13), (10, 14)]
LIMBS = HEAD_AND_TRUNK + ARMS + LEGS
"""Pairs of JHMDB's joints, connected by a line."""

TAIL = 12  # length of a track's tail, frames
SMALLEST_LABELLED = 160  # shorter side of an image, pixels, below which labels would hide the objects and are left out
JUMP = 0.15  # a longer step between frames, as a fraction of the image's longer side, is a lost point and has no tail


def distinct_colours(count: int, step: float | None = None, saturation: float = 0.85) -> list[Colour]:
    """Return `count` bright colours; the first is red.

    `step` is the distance between the hues of neighbours in the list, as a share of the circle of hues, by default 1 /
    count; `saturation` is in [0, 1]; less is paler.
    """
    colours: list[Colour] = []
    for index in range(count):
        hue = index / count if step is None else index * step % 1
        red, green, blue = hsv_to_rgb(hue, saturation, 1)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


OBJECT_COLOURS = np.array([(0, 0, 0), *distinct_colours(255, 0.618034, 0.7)], np.uint8)
"""Id of an object → its colour in pictures, `(256, 3)`. Steps of the golden ratio keep the hues of all ids apart."""


def as_picture(frame: Tensor) -> Picture:
    """Copy a frame `(3, H, W)`, uint8 or float in [0, 1], into an image `(H, W, 3)` uint8, which may be drawn into."""
    if frame.is_floating_point():
        frame = frame.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.array(frame.permute(1, 2, 0).cpu().numpy(), order="C")


def overlay_masks(frame: Tensor, mask: Tensor, labelled: bool = False) -> Picture:
    """Draw a frame with its objects tinted, and outlined by a bright line on a dark line.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        mask: uint8 ids `(H, W)`, 0 is background.
        labelled: write ids above the largest parts of the objects.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Example:
        >>> frame, mask = torch.zeros(3, 40, 40, dtype=torch.uint8), torch.zeros(40, 40, dtype=torch.uint8)
        >>> mask[5:35, 5:35] = 1
        >>> overlay_masks(frame, mask)[[0, 20], 20].tolist()  # the background, and the tint of object 1
        [[0, 0, 0], [115, 35, 35]]
    """
    picture = as_picture(frame)
    ids = mask.cpu().numpy()
    inside = ids > 0
    tints = OBJECT_COLOURS.astype(np.float32)[ids[inside]]
    picture[inside] = (0.55 * picture[inside] + 0.45 * tints).round().astype(np.uint8)
    labels: list[Label] = []
    for number in np.unique(ids[inside]).tolist():
        of_object = (ids == number).astype(np.uint8)
        outlines, _ = cv2.findContours(of_object, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        bright = OBJECT_COLOURS[number].tolist()
        for colour, width in _strokes(picture, bright):
            cv2.drawContours(picture, outlines, -1, colour, width, cv2.LINE_AA)
        largest = max(outlines, key=cv2.contourArea)[:, 0]  # (N, 2) x, y; OpenCV gives (N, 1, 2)
        top = largest[largest[:, 1].argmin()]
        labels.append((str(number), top, bright))
    return _labelled(picture, labels) if labelled else picture


def draw_boxes(frame: Tensor, boxes: object, colours: Sequence[Colour], labels: Sequence[str] = ()) -> Picture:
    """Draw boxes as a bright line on a dark line, with labels above their corners: uint8 RGB `(H, W, 3)`.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        boxes: left, top, width, height, an array or tensor `(N, 4)`; (0, 0) is the corner of the first pixel. Boxes may
            leave the frame; non-finite boxes are left out.
        colours: a colour per box.
        labels: a text per box; empty: no texts.
    """
    picture = as_picture(frame)
    boxes = np.asarray(boxes)
    first = _pixels(boxes[:, :2], picture)
    last = _pixels(boxes[:, :2] + boxes[:, 2:] - 1, picture)
    texts: list[Label] = []
    for index in np.flatnonzero(np.isfinite(boxes).all(1)).tolist():
        for colour, width in _strokes(picture, colours[index]):
            cv2.rectangle(picture, first[index], last[index], colour, width, cv2.LINE_AA)
        if labels:
            texts.append((labels[index], first[index], colours[index]))
    return _labelled(picture, texts)


def overlay_boxes(frame: Tensor, found: NDArray[np.float64], truth: NDArray[np.float64] | None = None) -> Picture:
    """Draw the tracked box in red, over the annotated box in white, if there is one: uint8 RGB `(H, W, 3)`.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: x, y, width, height `(4,)`, one-based: the first pixel is 1, 1; boxes may leave the frame.
        truth: the same of the annotated box; None: not annotated.
    """
    boxes = [found]
    colours = [FOUND]
    if truth is not None:
        boxes = [truth, found]
        colours = [LIGHT, FOUND]
    zero_based = np.stack(boxes) - (1, 1, 0, 0)
    return draw_boxes(frame, zero_based, colours)


def _draw_dot(picture: Picture, place: tuple[int, int], colour: Colour) -> None:
    unit = thickness_of(picture)
    for radius, ink in ((unit + 2, DARK), (unit + 1, LIGHT), (unit, colour)):
        cv2.circle(picture, place, radius, ink, -1, cv2.LINE_AA)


def overlay_joints(frame: Tensor, points: Tensor) -> Picture:
    """Draw a frame with the joints of a person, connected limb by limb.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        points: `(15, 2)` x, y in pixels, in the order of JHMDB; negative for a joint that was not found.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    from torchvision.utils import draw_keypoints  # here, since it imports torch._dynamo for a second

    is_found = (points >= 0).all(1)
    joints = points.round()[None]
    return as_picture(draw_keypoints(frame, joints, LIMBS, FOUND, radius=4, width=2, visibility=is_found[None]))


def overlay_tracks(
    frame: Tensor,
    points: NDArray[np.float64],
    occluded: NDArray[np.bool_],
    t: int,
    colours: Sequence[Colour],
    truth: NDArray[np.float64] | None = None,
    truth_occluded: NDArray[np.bool_] | None = None,
    names: Sequence[str] = (),
) -> Picture:
    """Draw the points in a frame: dots for visible points, crosses for hidden ones, and tails.

    A tail is a line through the last `TAIL` places of a point, with gaps where the point is hidden or jumps.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        points: x, y `(N, T, 2)` in raster pixels of the frame; NaN for a point that is left out.
        occluded: `(N, T)`, True for a hidden point.
        t: index of the frame.
        colours: RGB of each point.
        truth: annotated points like `points`; a visible one gets a white ring, and a line to the tracked point. None:
            nothing is annotated.
        truth_occluded: `(N, T)`, True for a hidden annotated point; given together with `truth`.
        names: a name per point, "" for none; an empty sequence: no names.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    picture = as_picture(frame)
    unit = thickness_of(picture)
    _draw_tails(picture, points, occluded, t, colours)
    places = _pixels(points[:, t] - 0.5, picture)  # OpenCV's (0, 0) is a pixel's middle; NaN lies outside
    if truth is not None and truth_occluded is not None:
        true = _pixels(truth[:, t] - 0.5, picture)
        for index in np.flatnonzero(~truth_occluded[:, t]):
            cv2.line(picture, places[index], true[index], LIGHT, 1, cv2.LINE_AA)
            cv2.circle(picture, true[index], 2 * unit + 1, LIGHT, 1, cv2.LINE_AA)
    for place, hidden, colour in zip(places, occluded[:, t], colours, strict=True):
        if hidden:
            for ink, width in ((DARK, unit + 2), (colour, unit)):
                cv2.drawMarker(picture, place, ink, cv2.MARKER_TILTED_CROSS, 4 * unit + 1, width, cv2.LINE_AA)
        else:
            _draw_dot(picture, place, colour)
    labels: list[Label] = [(name, place, LIGHT) for name, place in zip(names, places, strict=False) if name]
    return _labelled(picture, labels)


def _draw_tails(
    picture: Picture, points: NDArray[np.float64], occluded: NDArray[np.bool_], t: int, colours: Sequence[Colour]
) -> None:
    unit = thickness_of(picture)
    tails = slice(max(0, t - TAIL), t + 1)
    # − 0.5: in raster pixels the centre of the first pixel is 0.5, for OpenCV it is 0
    for track, hidden, colour in zip(points[:, tails] - 0.5, occluded[:, tails], colours, strict=True):
        places = _pixels(track, picture)
        lengths = np.abs(np.diff(places, axis=0)).max(1)
        is_near = lengths <= JUMP * max(picture.shape)  # a longer step is a lost point
        for step in np.flatnonzero(is_near & ~hidden[1:] & ~hidden[:-1]).tolist():
            cv2.line(picture, places[step], places[step + 1], colour, unit, cv2.LINE_AA)


def thickness_of(picture: Picture) -> int:
    """Return the unit of line widths for the size of an image, in pixels: 4 for 480 rows."""
    return max(2, round(min(picture.shape[:2]) / 120))


def _strokes(picture: Picture, colour: Colour) -> tuple[tuple[Colour, int], tuple[Colour, int]]:
    """Return (colour, width) of a wide dark stroke, and of the narrower bright stroke drawn over it."""
    unit = thickness_of(picture)
    bright = max(2, round(0.7 * unit))
    edge = max(1, round(unit / 4))
    return (DARK, bright + 2 * edge), (colour, bright)


def _pixels(points: NDArray[Any], picture: Picture) -> list[tuple[int, int]]:
    limit = 4 * max(picture.shape)  # farther points are moved here: OpenCV's coordinates have 32 bits
    finite = np.nan_to_num(points, nan=-limit)
    pixels = np.clip(finite, -limit, limit).round().astype(int)
    return [(x, y) for x, y in pixels.tolist()]


def _labelled(picture: Picture, labels: Iterable[Label]) -> Picture:
    if min(picture.shape[:2]) < SMALLEST_LABELLED:
        return picture
    unit = thickness_of(picture)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    size = 3.5 * unit + 2
    style: dict[str, Any] = {"font": ImageFont.load_default(size), "anchor": "ls", "stroke_width": max(1, unit // 3)}
    for text, (x, y), colour in labels:
        # height of the line on which the letters stand; at the upper edge of the image, the text moves down
        line = max(int(y) - 2 * unit, round(size))
        draw.text((int(x) + 2 * unit, line), text, fill=tuple(colour), stroke_fill=DARK, **style)
    return np.array(image)


def contact_sheet(pictures: Sequence[Picture], columns: int, width: int = 320, gap: int = 4) -> Picture:
    """Lay images `(H, W, 3)` of any sizes, uint8, out row by row on a white sheet `(H', W', 3)`.

    Args:
        pictures: the images.
        columns: number of images in a row.
        width: width of an image in the sheet, pixels.
        gap: space between images, pixels.
    """
    pictures = [resized(picture, width) for picture in pictures]
    height = max(picture.shape[0] for picture in pictures)
    rows = -(-len(pictures) // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(size, 255, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        y = row * (height + gap)
        x = column * (width + gap)
        sheet[y : y + picture.shape[0], x : x + width] = picture
    return sheet


def captioned(picture: Picture, text: str, colour: Colour = LIGHT, height: int = 18) -> Picture:
    """Return an image `(H, W, 3)` with a line of text of `height` pixels above it, cut at the image's width.

    `colour` is the RGB behind the text, which is black on bright colours, and white on dark ones.
    """
    line = Image.new("RGB", (picture.shape[1], height), colour)
    brightness = np.dot(colour, (0.299, 0.587, 0.114))  # as ITU-R BT.601 weighs the channels
    ink = "black" if brightness > 140 else "white"  # of 255; the larger contrast to most colours
    font = ImageFont.load_default(size=0.7 * height)
    ImageDraw.Draw(line).text((height // 5, height / 2), text, fill=ink, font=font, anchor="lm")
    return np.concatenate([np.asarray(line), picture])


def write_picture(path: str | Path, picture: Picture) -> None:
    """Write an image `(H, W, 3)` as a PNG, and make its folder if it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most `count` different frame indices, ascending, from the first to the last of one or more frames."""
    step = max(count - 1, 1)
    return sorted({round(index * (length - 1) / step) for index in range(count)})


def resized(picture: Picture, width: int) -> Picture:
    """Return an image `(H, W, 3)` at another width, in pixels, and the same aspect: `(H · width / W, width, 3)`."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
