"""The best pixels of heat-maps enlarged bilinearly, found without enlarging all of a map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .matching import POINTS_WORKSPACE, cell_centres, chunks

QUADS = 24
"""Squares between four cell centres whose pixels are evaluated first."""


def best_pixels(
    heatmaps: Tensor, height: int, width: int, topk: int, workspace: int = POINTS_WORKSPACE
) -> tuple[Tensor, Tensor]:
    """Return the largest values of heat-maps enlarged bilinearly, and the centres of their pixels.

    A bilinear value is at most the largest of the four cells around it. So the squares between cell centres are taken
    in the order of that bound, and where the last value found lies above the bound of all others, none is missed.
    A map for which that does not hold is enlarged, as is one whose cells are not an even number of pixels wide.

    Args:
        heatmaps: `(N, h, w)`.
        height: height of the enlarged maps, pixels.
        width: width of the enlarged maps, pixels.
        topk: pixels to return of each map; all there are if they are fewer.
        workspace: bytes for enlarged maps, which no result depends on.

    Returns:
        Values `(N, k)`, largest first, and x, y `(N, k, 2)` in pixels, where the centre of the first is at 0.5.
    """
    rows, columns = heatmaps.shape[1:]
    topk, side = min(topk, height * width), height // rows
    # whether squares are left to look at would be a question to a GPU, which enlarges maps in no time
    fits = side % 2 == 0 and (height, width) == (side * rows, side * columns)
    if heatmaps.device.type != "cpu" or not fits or (rows + 1) * (columns + 1) <= 2 * QUADS:
        return _of_enlarged(heatmaps, height, width, topk, workspace)
    # QUADS squares give as many pixels even at a corner of the map, where a quarter of a square lies inside
    parts = [_of_quads(heatmaps[part], side, topk) for part in chunks(len(heatmaps), 32 * QUADS * side**2, workspace)]
    values, centres, sure = (torch.cat(items) for items in zip(*parts, strict=True))
    if not sure.all():
        rest = ~sure
        values[rest], centres[rest] = _of_enlarged(heatmaps[rest], height, width, topk, workspace)
    return values, centres


def _of_enlarged(heatmaps: Tensor, height: int, width: int, topk: int, workspace: int) -> tuple[Tensor, Tensor]:
    found = []
    for part in chunks(len(heatmaps), 8 * height * width, workspace):
        enlarged = F.interpolate(heatmaps[None, part], (height, width), mode="bilinear", align_corners=False)
        found.append(enlarged[0].flatten(1).topk(topk, dim=1))
    values, choice = (torch.cat([item[number] for item in found]) for number in (0, 1))
    return values, cell_centres(height, width, heatmaps.device)[choice]


def _of_quads(heatmaps: Tensor, side: int, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best pixels of the best squares, and for each map whether they are the best of the map, `(N,)`."""
    (rows, columns), device = heatmaps.shape[1:], heatmaps.device
    padded = F.pad(heatmaps[:, None], (1, 1, 1, 1), mode="replicate")
    rowwise = torch.maximum(padded[:, 0, :-1], padded[:, 0, 1:])
    bounds, choice = torch.maximum(rowwise[:, :, :-1], rowwise[:, :, 1:]).flatten(1).topk(QUADS + 1, dim=1)
    y, x = choice[:, :-1] // (columns + 1), choice[:, :-1] % (columns + 1)
    corner = y * (columns + 2) + x
    table = padded.flatten(1)
    above, below = (
        torch.stack([table.gather(1, corner + row * (columns + 2) + column) for column in (0, 1)], dim=2)
        for row in (0, 1)
    )
    inner = torch.arange(side, dtype=torch.float32, device=device) + 0.5
    part = inner / side
    left, right = (above[:, :, [at]] * (1 - part) + below[:, :, [at]] * part for at in (0, 1))  # (N, QUADS, side)
    pixels = left[..., None] * (1 - part) + right[..., None] * part  # (N, QUADS, side, side)
    py, px = (start[:, :, None] * side + inner - side / 2 for start in (y, x))
    outside_y, outside_x = (py < 0) | (py > rows * side), (px < 0) | (px > columns * side)
    pixels = pixels.masked_fill(outside_y[..., None] | outside_x[:, :, None], -torch.inf)
    values, best = pixels.flatten(1).topk(topk, dim=1)
    quad, cell = best // side**2, best % side**2
    centres = torch.stack(
        [px.flatten(1).gather(1, quad * side + cell % side), py.flatten(1).gather(1, quad * side + cell // side)], dim=2
    )
    return values, centres, values[:, -1] > bounds[:, -1]
