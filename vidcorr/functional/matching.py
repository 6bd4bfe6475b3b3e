"""Zero-shot matching of keypoints between two pictures, by the rules of a `MatchingProtocol`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..protocols import MatchingProtocol
from .device import items_in_workspace, to_device
from .points.matching import sample_features
from .propagation.coding import Size
from .propagation.resizing import resize_images

PADDINGS = {"black": 0, "white": 255}
"""Value of the pixels around a picture."""
ANSWERS = {"corner": (0.0, 0.0), "centre": (0.5, 0.0), "pixel-centre": (0.5, -0.5)}
"""Position of an answer in its cell: offset from the cell's corner in cells, and a further offset in canvas pixels."""


def match_keypoints(
    source: Tensor, target: Tensor, points: Tensor, source_size: Size, target_size: Size, protocol: MatchingProtocol
) -> Tensor:
    """Find the points of a target picture that correspond to points of a source picture.

    Args:
        source: features `(C, h, w)` of the source, as the network gave them for the protocol's input.
        target: features `(C, h', w')` of the target.
        points: x, y `(N, 2)` in pixels of the source.
        source_size: (H, W) of the source, pixels.
        target_size: (H, W) of the target, pixels.
        protocol: sampling, decoding and answer of the match.

    Returns:
        x, y `(N, 2)` in pixels of the target, in the points' type; float64 for integer points.

    Example:
        >>> features = torch.eye(4).view(4, 2, 2)
        >>> dift = MatchingProtocol.named("dift").with_changes(input_size=32)
        >>> turned = features.flip(1, 2)
        >>> match_keypoints(features, turned, torch.tensor([[2.0, 3.0]]), (32, 32), (32, 32), dift)
        tensor([[24., 24.]])
        >>> match_keypoints(features, turned, torch.tensor([[2, 3]]), (32, 32), (32, 32), dift)
        tensor([[24., 24.]], dtype=torch.float64)
        >>> match_keypoints(features, turned, torch.zeros(0, 2, dtype=int), (32, 32), (32, 32), dift).dtype
        torch.float64
    """
    if not len(points):  # an empty result of the same type as others
        return points.to(points if points.is_floating_point() else torch.float64)
    descriptors = _descriptors(source.float(), points, source_size, protocol)
    on_canvas = _match(descriptors, target.float(), canvas_size(target_size, protocol), protocol)
    scale, left, top = _placement(target_size, protocol)
    answers = (on_canvas - to_device([left, top], on_canvas.device)) / scale  # from the canvas back to the picture
    return answers.to(points if points.is_floating_point() else answers)


def prepare_picture(image: Tensor, protocol: MatchingProtocol) -> Tensor:
    """Fit a picture to the size of the network's input, by the protocol's `input_fit`.

    "stretched": the picture is resized to this size; "corner": padded to a square below or at the right, then resized;
    "centred": resized until its longer side fits, then padded to a square on both sides.

    Args:
        image: uint8 RGB `(3, H, W)`.
        protocol: size, padding and filter.

    Returns:
        uint8 `(3, H', W')`, on the CPU.

    Example:
        >>> white = torch.full((3, 2, 4), 255, dtype=torch.uint8)
        >>> for fit in ("stretched", "corner", "centred"):
        ...     protocol = MatchingProtocol.named("dift").with_changes(input_size=4, input_fit=fit, padding="black")
        ...     print(fit, prepare_picture(white, protocol)[0, :, 0].tolist())  # the first column
        stretched [255, 255, 255, 255]
        corner [255, 255, 0, 0]
        centred [0, 255, 255, 0]
    """
    size = image.shape[1], image.shape[2]
    if protocol.input_fit == "corner":  # padded before it is resized, "centred" after it
        image = _pad_to_square(image, 0, 0, max(size), protocol)
    # "corner" and "stretched" fill the whole input, whatever `size` is; "centred" leaves room for its padding
    image = resize_images(image[None], _content_size(size, protocol), protocol.input_filter)[0]
    if protocol.input_fit == "centred":
        _, left, top = _placement(size, protocol)
        image = _pad_to_square(image, left, top, protocol.input_sides[0], protocol)
    return image


def cell_similarities(
    source: Tensor, target: Tensor, points: Tensor, source_size: Size, protocol: MatchingProtocol
) -> Tensor:
    """Return the cosines `(N, h', w')` of features at points of a source picture with all cells of a target picture.

    Args:
        source: features `(C, h, w)` of the source.
        target: features `(C, h', w')` of the target.
        points: x, y `(N, 2)` in pixels of the source.
        source_size: (H, W) of the source, pixels.
        protocol: sampling of the source.

    Example:
        >>> features = torch.eye(4).view(4, 2, 2)
        >>> dift = MatchingProtocol.named("dift").with_changes(input_size=32)
        >>> cell_similarities(features, features, torch.tensor([[2.0, 3.0]]), (32, 32), dift).round(decimals=1)
        tensor([[[1., 0.],
                 [0., 0.]]])
    """
    descriptors = _descriptors(source.float(), points, source_size, protocol)
    return (descriptors @ F.normalize(target.float(), dim=0).flatten(1)).unflatten(1, target.shape[1:])


def canvas_size(size: Size, protocol: MatchingProtocol) -> Size:
    """Return the (H, W), pixels, of the canvas on which a picture of `size` lies, by the protocol's `input_fit`.

    The canvas of a stretched picture is the picture itself; else it is the padded square that the network gets.

    Example:
        >>> dift = MatchingProtocol.named("dift")
        >>> canvas_size((480, 640), dift), canvas_size((480, 640), MatchingProtocol.named("geoaware"))
        ((480, 640), (840, 840))
    """
    if protocol.input_fit == "stretched":
        return size
    return protocol.input_sides


def canvas_points(points: Tensor, size: Size, protocol: MatchingProtocol) -> Tensor:
    """Convert x, y `(N, 2)` in pixels of a picture of `size` to pixels of its canvas (`canvas_size`), float32.

    Example:
        >>> centred = MatchingProtocol.named("geoaware").with_changes(input_size=320)
        >>> canvas_points(torch.tensor([[0, 0], [640, 480]]), (480, 640), centred)
        tensor([[  0.,  40.],
                [320., 280.]])
    """
    scale, left, top = _placement(size, protocol)
    scaled = points.float() * scale
    # whole pixels before and after scaling, as Probe3D's code keeps them; only with a padded picture, a square
    if protocol.integer_points:
        side = protocol.input_sides[0]
        scaled = (points.double().trunc() * side / max(size)).trunc().float()
    return scaled + to_device([float(left), float(top)], points.device)


def _placement(size: Size, protocol: MatchingProtocol) -> tuple[float, int, int]:
    """Return how a picture of `size` lies on its canvas (`canvas_size`).

    Returns:
        Pixels of the canvas per pixel of the picture; x and y of the picture's first pixel on the canvas.

    Example:
        >>> _placement((480, 640), MatchingProtocol.named("geoaware").with_changes(input_size=320))
        (0.5, 0, 40)
    """
    if protocol.input_fit == "stretched":
        return 1.0, 0, 0  # the canvas is the picture; `_descriptors` and `_match` scale it to cells
    side = protocol.input_sides[0]
    height, width = _content_size(size, protocol)
    return side / max(size), (side - width) // 2, (side - height) // 2


def _content_size(size: Size, protocol: MatchingProtocol) -> Size:
    """Return height and width to which a picture of `size` is resized.

    "centred" leaves out the padding, which comes later. For "corner" they are those of the padded square.

    Example:
        >>> centred = MatchingProtocol.named("geoaware").with_changes(input_size=320)
        >>> _content_size((480, 640), centred), _content_size((640, 480), centred)
        ((240, 320), (320, 240))
    """
    side = protocol.input_sides[0]
    if protocol.input_fit != "centred":
        return protocol.input_sides
    return round(side * size[0] / max(size)), round(side * size[1] / max(size))


def _pad_to_square(image: Tensor, left: int, top: int, side: int, protocol: MatchingProtocol) -> Tensor:
    """Pad an image `(3, H, W)` uint8 to a square of `side` pixels; its first pixel comes to x = left, y = top."""
    _, height, width = image.shape
    around = left, side - width - left, top, side - height - top
    return F.pad(image, around, value=PADDINGS[protocol.padding])


def _match(descriptors: Tensor, target: Tensor, canvas: Size, protocol: MatchingProtocol) -> Tensor:
    """Match descriptors `(N, C)` with the target, and return points x, y `(N, 2)` float64 on the target's canvas.

    By the protocol's `upsampling` "frame", features are compared at every pixel of the canvas; else at their cells.

    Args:
        descriptors: `(N, C)`.
        target: features `(C, h, w)`.
        canvas: size of the target's canvas.
        protocol: upsampling, decoding and answer.
    """
    is_upsampled = protocol.upsampling == "frame"
    if is_upsampled:
        grid = canvas
        lengths = upsampled_norms(target, grid)
        offset_in_cells, offset_in_pixels = 0.0, 0.0  # the answer is a pixel's x and y
    else:
        grid = target.shape[1], target.shape[2]
        lengths = target.square().sum(0).sqrt_()
        offset_in_cells, offset_in_pixels = ANSWERS[protocol.answer]  # of the answer from its cell's corner
    height, width = grid
    bytes_of_map = 4 * height * width  # float32
    positions = []
    for part in descriptors.split(items_in_workspace(target.device, bytes_of_map)):
        similarities = (part @ target.flatten(1)).unflatten(1, target.shape[1:])
        if is_upsampled:  # upsampling is linear: these are the products with upsampled features
            similarities = F.interpolate(similarities[None], grid, mode="bilinear")[0]
        positions.append(_decode(similarities.div_(lengths.clamp(min=1e-12)), protocol))
    size_of_cell = torch.tensor([canvas[1] / width, canvas[0] / height], dtype=torch.float64)  # in pixels of the canvas
    return (torch.cat(positions) + offset_in_cells) * to_device(size_of_cell, target.device) + offset_in_pixels


def _descriptors(features: Tensor, points: Tensor, picture: Size, protocol: MatchingProtocol) -> Tensor:
    """Return the features `(N, C)` of points in a picture.

    By the protocol's `sampling` "aligned", cells' features are divided by their length, then interpolated at the point.
    Else it is the feature of the cell that `_cells_at` finds for the point, divided by its length.
    With `upsampling` "frame", the pixels of the canvas are the cells, and their features are up-sampled ones.

    Args:
        features: `(C, h, w)` of the picture.
        points: x, y `(N, 2)` in pixels of the picture.
        picture: size of the picture.
        protocol: sampling and upsampling.
    """
    canvas = canvas_size(picture, protocol)
    points = canvas_points(to_device(points, features.device), picture, protocol)
    size = canvas if protocol.upsampling == "frame" else (features.shape[1], features.shape[2])  # of the map of cells
    height, width = size
    if protocol.sampling == "aligned":
        # cells per pixel, so that the canvas runs from the first cell's centre to the last one's
        steps = to_device([(width - 1) / canvas[1], (height - 1) / canvas[0]], points.device)
        return sample_features(F.normalize(features, dim=0), points * steps + 0.5)  # the first cell's centre is at 0.5
    flat = _cells_at(points, canvas, size, protocol)  # index of each point's cell
    if protocol.upsampling == "cells":
        return F.normalize(features.flatten(1)[:, flat].T)
    # the feature at the centre of a pixel of the canvas, as up-sampling the whole map would give it
    _, rows, columns = features.shape
    pixel = to_device([columns / width, rows / height], points.device)  # its size in cells of `features`
    centres = torch.stack([flat % width, flat // width], dim=1).float() + 0.5
    return F.normalize(sample_features(features, centres * pixel))


def _cells_at(points: Tensor, canvas: Size, size: Size, protocol: MatchingProtocol) -> Tensor:
    """Return the flat indices `(N,)` of cells at points x, y `(N, 2)` of the canvas.

    Args:
        points: the points.
        canvas: size of the canvas.
        size: size of the map of cells.
        protocol: `sampling`: column and row are x · w / W and y · h / H (H, W: the canvas), rounded down ("floor": the
            cell in which the point lies) or to the nearest integer ("round").

    Example:
        >>> points = torch.tensor([[11.0, 0.0], [31.0, 9.0], [32.0, 0.0]])
        >>> _cells_at(points, (20, 32), (2, 3), MatchingProtocol.named("probe3d"))
        tensor([1, 5, 2])
        >>> _cells_at(points, (20, 32), (2, 3), MatchingProtocol.named("geoaware"))
        tensor([1, 2, 3])
    """
    height, width = size
    x, y = points.unbind(1)
    cells = torch.stack([x * (width / canvas[1]), y * (height / canvas[0])], dim=1)
    last = to_device([width - 1.0, height - 1.0], points.device)
    cells = cells.floor() if protocol.sampling == "floor" else cells.round().clamp(min=0).minimum(last)
    # the original codes that round down index a flat map: a point on the right border, whose column is not clamped
    # here, reads the next row's first cell
    column, row = cells.unbind(1)
    address = row.clamp(0, height - 1) * width + column
    return address.clamp(0, height * width - 1).long()


def _decode(similarities: Tensor, protocol: MatchingProtocol) -> Tensor:
    """Decode similarities `(N, h, w)` to x, y `(N, 2)` float64: column and row of a cell, or their weighted mean.

    By the protocol's `decoding` "argmax" it is the most similar cell. Else it is the mean of all cells, weighted by the
    softmax of similarity / `temperature`; `window` keeps only similarities near the most similar cell, `kernel`
    multiplies similarities by a Gaussian around this cell.

    Example:
        >>> similarities = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
        >>> _decode(similarities, MatchingProtocol.named("dift"))
        tensor([[2., 0.]], dtype=torch.float64)
    """
    count, height, width = similarities.shape
    best = similarities.flatten(1).argmax(1)
    y = best // width
    x = best % width
    if protocol.decoding == "argmax":
        return torch.stack([x, y], dim=1).double()
    rows = torch.arange(height, device=best.device)
    columns = torch.arange(width, device=best.device)
    dy = (rows - y[:, None])[:, :, None]
    dx = (columns - x[:, None])[:, None]
    if protocol.window is not None:
        inside = (dy.abs() <= protocol.window) & (dx.abs() <= protocol.window)
        similarities = similarities.where(inside, 0.0 if protocol.window_outside == "zero" else -torch.inf)
    elif protocol.kernel is not None:
        distances = (dy.square() + dx.square()).float()
        similarities = similarities * torch.exp(-distances / (2 * protocol.kernel**2))
    logits = similarities.flatten(1).double() / protocol.temperature
    weights = logits.softmax(1).view(count, height, width)
    mean_x = weights.sum(1) @ columns.double()
    mean_y = weights.sum(2) @ rows.double()
    return torch.stack([mean_x, mean_y], dim=1)


def upsampled_norms(features: Tensor, size: Size) -> Tensor:
    """Return the Euclidean lengths that features have after bilinear upsampling, without upsampling them.

    Between neighbouring cells a feature is linear in x and in y, so its squared length is a parabola. Three values
    determine a parabola: here the values at both cells and halfway between them.

    Args:
        features: `(C, h, w)`.
        size: (H, W) of the upsampled map.

    Returns:
        `(H, W)` float32.

    Example:
        >>> features = torch.tensor([[[3.0, 0.0]], [[4.0, 5.0]]])
        >>> upsampled_norms(features, (1, 4))
        tensor([[5.0000, 4.8088, 4.8088, 5.0000]])
        >>> F.interpolate(features[None], (1, 4), mode="bilinear")[0].norm(dim=0)
        tensor([[5.0000, 4.8088, 4.8088, 5.0000]])
    """
    _, height, width = features.shape
    # even places are cells, odd places lie halfway to the next cell; two places behind the last cell, for `_parabolas`,
    # stay 0
    squares = features.new_zeros(2 * height + 1, 2 * width + 1, dtype=torch.float32)
    for part in features.float().split(64):  # 64 channels fit into the CPU's cache
        # sums of two neighbours: twice the features halfway between them, so their squares are four times too large
        wide = part[:, :, :-1] + part[:, :, 1:]
        tall = part[:, :-1] + part[:, 1:]
        squares[:-1:2, :-1:2] += part.square().sum(0)
        squares[:-1:2, 1:-2:2] += wide.square().sum(0) / 4
        squares[1:-2:2, :-1:2] += tall.square().sum(0) / 4
        of_four = wide[:, :-1] + wide[:, 1:]  # four times the feature in the middle of four cells
        squares[1:-2:2, 1:-2:2] += of_four.square().sum(0) / 16
    # first along x, then along y
    widened = _parabolas(squares.T, size[1]).T
    return _parabolas(widened, size[0]).clamp_(min=0).sqrt_()


def _parabolas(values: Tensor, pixels: int) -> Tensor:
    """Return values `(pixels, M)` at the pixels of an axis: each on a parabola through two cells and their middle.

    Args:
        values: `(2 n + 1, M)`: cell, halfway, cell, …, and two rows behind the last of n cells, with weight 0.
        pixels: number of pixels along the n cells.

    Example:
        >>> values = torch.tensor([4.0, 1.0, 0.0, 0.0, 0.0])  # (2 - 2 t)² at t = 0, 1/2 and 1, and two rows behind
        >>> _parabolas(values[:, None], 4).flatten()  # at t = 0, 1/4, 3/4 and 1
        tensor([4.0000, 2.2500, 0.2500, 0.0000])
    """
    cells = len(values) // 2
    in_pixels = torch.arange(pixels, device=values.device).double() + 0.5
    centres = (in_pixels * cells / pixels - 0.5).clamp(0, cells - 1)  # in cells from the first cell's centre
    first = 2 * centres.long()  # row of `values` of the cell at or before each pixel
    near = values[first]
    half = values[first + 1]
    far = values[first + 2]
    t = (centres % 1).float()[:, None]  # 0 near, 1/2 half, 1 far
    of_near = (1 - t) * (1 - 2 * t)
    of_half = 4 * t * (1 - t)
    of_far = t * (2 * t - 1)
    return of_near * near + of_half * half + of_far * far
