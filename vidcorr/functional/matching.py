"""Zero-shot matching of keypoints between two pictures, by the rules of a `MatchingProtocol`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import to_device
from .matching_protocol import MatchingProtocol
from .points.matching import POINTS_WORKSPACE, sample_features
from .propagation.sizing import Size, resize_images

FILLING = {"black": 0, "white": 255}
ANSWERS = {"corner": (0.0, 0.0), "centre": (0.5, 0.0), "pixel-centre": (0.5, -0.5)}
"""Offset of an answer from its cell's corner, in cells and in pixels of the frame."""


def match_keypoints(
    source: Tensor,
    target: Tensor,
    points: Tensor,
    source_size: Size,
    target_size: Size,
    protocol: MatchingProtocol,
    mirrored: Tensor | None = None,
    partners: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Find the points of a target picture that correspond to points of a source picture.

    Args:
        source: features `(C, h, w)` of the source, as the network gave them for the protocol's input.
        target: features `(C, h', w')` of the target.
        points: x, y `(N, 2)` in pixels of the source.
        source_size: (H, W) of the source, pixels.
        target_size: (H, W) of the target, pixels.
        protocol: see `MatchingProtocol`.
        mirrored: for `flip`, features of the mirrored source.
        partners: for `flip`, long `(N,)`: row of a point's left or right partner, its own row for a point without one,
            and -1 if the partner is not visible in both pictures.
        bias: for `debiased`, the result of `bias_directions`.

    Returns:
        x, y `(N, 2)` in pixels of the target, in the points' type; float64 for integer points.

    Raises:
        ValueError: for shapes that do not fit, or an argument that the protocol needs.
    """
    if source.ndim != 3 or target.ndim != 3 or len(source) != len(target):
        raise ValueError(f"features must be (C, h, w), got {tuple(source.shape)} and {tuple(target.shape)}")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must be (N, 2), got {tuple(points.shape)}")
    if bool(protocol.debiased) != (bias is not None):
        raise ValueError(
            f"protocol {protocol.name!r} has debiased={protocol.debiased}: give `bias` if and only if it is above 0"
        )
    if protocol.flip != "off" and (mirrored is None or partners is None):
        raise ValueError(f"protocol {protocol.name!r} needs `mirrored` and `partners`")
    if not len(points):
        return points.to(points if points.is_floating_point() else torch.float64)
    first, second = (debiased(features.float(), bias) for features in (source, target))
    at = frame_points(to_device(points, source.device), source_size, protocol)
    frames = frame_size(source_size, protocol), frame_size(target_size, protocol)
    found = _match(first, second, at, frames, protocol)
    if protocol.flip == "mutual" and mirrored is not None and partners is not None:
        turned = debiased(mirrored.float(), bias)
        if mutual_distance(turned, second) < mutual_distance(first, second):
            rows = to_device(partners, source.device)
            mirrored_at = torch.stack([frames[0][1] - at[:, 0], at[:, 1]], dim=1)[rows]
            found = torch.where(rows[:, None] >= 0, _match(turned, second, mirrored_at, frames, protocol), found)
    scale, left, top = _placement(target_size, protocol)
    answers = (found - torch.tensor([left, top], dtype=torch.float64, device=found.device)) / scale
    return answers.to(points if points.is_floating_point() else answers)


def prepare_picture(image: Tensor, protocol: MatchingProtocol) -> Tensor:
    """Bring a picture to the size of the network's input.

    Args:
        image: uint8 RGB `(3, H, W)`.
        protocol: size, padding and filter.

    Returns:
        uint8 `(3, H', W')`, on the CPU.
    """
    _, height, width = image.shape
    sides, method = protocol.input_sides, protocol.input_filter
    if protocol.input_fit == "stretched":
        return resize_images(image[None], sides, method)[0]
    if protocol.input_fit == "corner":
        long = max(height, width)
        return resize_images(_pad(image, (0, long - width, 0, long - height), protocol), sides, method)[0]
    side, (short_height, short_width) = sides[0], _content_size((height, width), sides[0])
    left, top = (side - short_width) // 2, (side - short_height) // 2
    around = left, side - short_width - left, top, side - short_height - top
    return _pad(resize_images(image[None], (short_height, short_width), method)[0], around, protocol)[0]


def bias_directions(features: Tensor, components: int) -> Tensor:
    """Return the directions that features of a black picture vary in, for `debiased`: `(C, components)`.

    Source: INSID3, models/insid3.py.

    Args:
        features: `(C, h, w)` of a black picture.
        components: number of directions.
    """
    cells = F.normalize(features.float(), dim=0).flatten(1)
    return torch.linalg.svd(cells - cells.mean(1, keepdim=True), full_matrices=False)[0][:, :components]


def mutual_distance(first: Tensor, second: Tensor) -> float:
    """Return the mean distance, on the unit sphere, of mutual nearest neighbours of two maps `(C, h, w)`."""
    cells, others = (F.normalize(features, dim=0).flatten(1).T for features in (first, second))
    nearest = []
    best, best_row = others.new_full((len(others),), torch.inf), others.new_zeros(len(others), dtype=torch.long)
    chunk = max(1, POINTS_WORKSPACE // (4 * len(others)))
    for begin in range(0, len(cells), chunk):
        distances = torch.cdist(cells[begin : begin + chunk], others)
        nearest.append(distances.min(1))
        least, row = distances.min(0)
        best_row, best = torch.where(least < best, row + begin, best_row), torch.minimum(least, best)
    values, chosen = (torch.cat([item[index] for item in nearest]) for index in (0, 1))
    mutual = best_row[chosen] == torch.arange(len(cells), device=cells.device)
    return float(values[mutual].mean())


def frame_size(size: Size, protocol: MatchingProtocol) -> Size:
    """Return height and width of the frame of a picture, see `MatchingProtocol`."""
    return size if protocol.input_fit == "stretched" else protocol.input_sides


def frame_points(points: Tensor, size: Size, protocol: MatchingProtocol) -> Tensor:
    """Convert x, y `(N, 2)` in pixels of a picture of `size` to pixels of its frame, float32."""
    scale, left, top = _placement(size, protocol)
    if protocol.integer_points:
        return (points.double().trunc() * protocol.input_sides[0] / max(size)).trunc().float()
    return points.float() * scale + to_device([float(left), float(top)], points.device)


def _placement(size: Size, protocol: MatchingProtocol) -> tuple[float, int, int]:
    """Return pixels of the frame per pixel of the picture, and the picture's place in the frame: x, y."""
    if protocol.input_fit == "stretched":
        return 1.0, 0, 0
    side = protocol.input_sides[0]
    if protocol.input_fit == "corner":
        return side / max(size), 0, 0
    height, width = _content_size(size, side)
    return side / max(size), (side - width) // 2, (side - height) // 2


def _content_size(size: Size, side: int) -> Size:
    """Return height and width of a picture whose longer side is resized to `side`."""
    short = round(side * min(size) / max(size))
    return (short, side) if size[0] <= size[1] else (side, short)


def _pad(image: Tensor, around: tuple[int, int, int, int], protocol: MatchingProtocol) -> Tensor:
    """Pad an image by (left, right, top, bottom) pixels: `(1, 3, H, W)` uint8."""
    if protocol.padding == "edge":
        return F.pad(image[None].float(), around, mode="replicate").byte()
    return F.pad(image[None], around, value=FILLING[protocol.padding])


def debiased(features: Tensor, bias: Tensor | None) -> Tensor:
    """Return features `(C, h, w)` of unit length without their part along the directions `(C, k)`, if there are any."""
    if bias is None:
        return features
    cells = F.normalize(features.flatten(1), dim=0)
    return F.normalize(cells - bias @ (bias.T @ cells), dim=0).view_as(features)


def _match(source: Tensor, target: Tensor, at: Tensor, frames: tuple[Size, Size], protocol: MatchingProtocol) -> Tensor:
    """Match points of the source's frame, x, y `(N, 2)`, with the target: points of its frame, float64 `(N, 2)`."""
    descriptors = _descriptors(source, at, frames[0], protocol)
    upsampled = protocol.upsampling == "frame"
    grid = frames[1] if upsampled else (target.shape[1], target.shape[2])
    lengths = upsampled_norms(target, grid) if upsampled else target.square().sum(0).sqrt()
    lengths.clamp_(min=1e-12)
    positions = []
    for part in descriptors.split(max(1, POINTS_WORKSPACE // (4 * grid[0] * grid[1]))):
        similarities = (part @ target.flatten(1)).unflatten(1, target.shape[1:])
        if upsampled:
            similarities = F.interpolate(similarities[None], grid, mode="bilinear", align_corners=False)[0]
        positions.append(_decode(similarities.div_(lengths), protocol))
    cell = at.new_tensor([frames[1][1] / grid[1], frames[1][0] / grid[0]], dtype=torch.float64)
    of_cell, of_pixel = ANSWERS[protocol.answer] if not upsampled else (0.0, 0.0)
    return (torch.cat(positions) + of_cell) * cell + of_pixel


def _descriptors(features: Tensor, at: Tensor, frame: Size, protocol: MatchingProtocol) -> Tensor:
    """Return the features `(N, C)` of points x, y `(N, 2)` of the frame, of unit length unless interpolated."""
    height, width = frame if protocol.upsampling == "frame" else features.shape[1:]
    if protocol.sampling == "aligned":
        unit = at / to_device([float(frame[1]), float(frame[0])], at.device)
        grid = (unit * 2 - 1)[None, None]
        return F.grid_sample(F.normalize(features, dim=0)[None], grid, align_corners=True, padding_mode="border")[
            0, :, 0
        ].T.contiguous()
    cells = torch.stack([at[:, 0] * (width / frame[1]), at[:, 1] * (height / frame[0])], dim=1)
    cells = cells.floor() if protocol.sampling == "floor" else cells.round()
    if protocol.sampling == "round":
        cells[:, 0].clamp_(0, width - 1)
    # the codes that round down index a flat map: a point on the right border, x = side, reads the next row's first cell
    flat = (cells[:, 1].clamp(0, height - 1) * width + cells[:, 0]).clamp(0, height * width - 1).long()
    if protocol.upsampling == "cells":
        return F.normalize(features.flatten(1)[:, flat].T, dim=1)
    x, y = flat % width, flat // width
    pixel = torch.tensor([features.shape[2] / width, features.shape[1] / height], device=at.device)
    return F.normalize(sample_features(features, (torch.stack([x, y], dim=1) + 0.5) * pixel), dim=1)


def _decode(similarities: Tensor, protocol: MatchingProtocol) -> Tensor:
    """Decode similarities `(N, h, w)` to x, y `(N, 2)` in cells, float64; the first cell's corner is at 0."""
    count, height, width = similarities.shape
    best = similarities.flatten(1).argmax(1)
    y, x = best // width, best % width
    if protocol.decoding == "argmax":
        return torch.stack([x, y], dim=1).double()
    rows, columns = (torch.arange(side, device=best.device) for side in (height, width))
    dy, dx = rows - y[:, None], columns - x[:, None]
    if protocol.window is not None:
        inside = (dy.abs() <= protocol.window)[:, :, None] & (dx.abs() <= protocol.window)[:, None]
        similarities = similarities * inside
    elif protocol.kernel is not None:
        square = dy.square()[:, :, None] + dx.square()[:, None]
        similarities = similarities * torch.exp(-square / (2 * protocol.kernel**2))
    weights = (similarities.flatten(1) / protocol.temperature).softmax(1).view(count, height, width).double()
    return torch.stack([weights.sum(1) @ columns.double(), weights.sum(2) @ rows.double()], dim=1)


def upsampled_norms(features: Tensor, size: Size) -> Tensor:
    """Return the lengths of features after bilinear upsampling, without upsampling them.

    The squared length is a quadratic form of the products of neighbouring cells.

    Args:
        features: `(C, h, w)`.
        size: (H, W).

    Returns:
        `(H, W)` float32.
    """
    _, height, width = features.shape
    cells, (y, fy), (x, fx) = (
        features.float().flatten(1),
        *(_steps(*pair, features.device) for pair in zip((height, width), size, strict=True)),
    )

    def products(step: int) -> Tensor:
        """Return the product of every cell with the cell `step` later in row order."""
        along = (cells[:, : cells.shape[1] - step] * cells[:, step:]).sum(0).double()
        return F.pad(along, (0, width * (height + 1) + 1 - len(along)))

    def along_x(own: Tensor, crossed: Tensor) -> Tensor:
        own, crossed, after = (part.unfold(0, width, width) for part in (own, crossed, own[1:]))
        return (1 - fx) ** 2 * own[:, x] + fx * (1 - fx) * crossed[:, x] + fx**2 * after[:, x]

    own = along_x(products(0), 2 * products(1))
    below = along_x(products(width), products(width + 1) + F.pad(products(width - 1)[1:], (0, 1)))
    fy, own, below = fy[:, None].float(), own.float(), below.float()  # large from here on
    squares = ((1 - fy) ** 2 * own[y]).addcmul_(2 * fy * (1 - fy), below[y]).addcmul_(fy**2, own[y + 1])
    return squares.clamp_(min=0).sqrt_()


def _steps(cells: int, pixels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for every pixel of an axis the cell before it, and the weight of the next cell."""
    centres = (torch.arange(pixels, device=device).double() + 0.5) * cells / pixels - 0.5
    centres = centres.clamp(0, cells - 1)
    return centres.long(), centres % 1
