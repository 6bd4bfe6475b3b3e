"""Dense matches of two feature maps at the cells of a grid, weighted by how clear they are, and their errors in 3D."""

import torch
from torch import Tensor

from .device import items_in_workspace, to_device
from .propagation.resizing import sampling_matrix

CLOSEST = 1e-9
"""Least distance, 1 − cosine, between two features: rounding would make it 0 or negative for equal features."""


def match_surfaces(
    source: Tensor, target: Tensor, source_cells: Tensor, target_cells: Tensor, sampling: str, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Match the cells of a grid over a source picture with those of a target picture, and keep the clearest matches.

    Features are sampled at the centres of the grids' cells.

    Args:
        source: features `(C, h, w)`.
        target: features `(C, h', w')`.
        source_cells: bool `(H, W)`: cells of the grid that are matched.
        target_cells: bool `(H', W')`: cells that may be found.
        sampling: "bicubic" or "bilinear-zero", as in `SurfaceProtocol`.
        count: number of matches; all, if there are fewer.

    Returns:
        Cells of the source and the target, each `(N,)`, as row · W + column of their grid; and weights `(N,)` in
        [0, 1], the largest first. A weight is 1 minus the ratio of the distances (1 − cosine) of the nearest and the
        second nearest cell. Of equal cells the first counts as the nearest.

    Example:
        >>> features = torch.eye(2).view(2, 1, 2)
        >>> everywhere = torch.ones(1, 2, dtype=torch.bool)
        >>> match_surfaces(features, features.flip(2), everywhere, everywhere, "bilinear-zero", 9)
        (tensor([0, 1]), tensor([1, 0]), tensor([1., 1.]))
        >>> match_surfaces(features, features, everywhere, ~everywhere, "bilinear-zero", 9)
        (tensor([], dtype=torch.int64), tensor([], dtype=torch.int64), tensor([]))
    """
    device = source.device
    source_cells = to_device(source_cells, device)
    target_cells = to_device(target_cells, device)
    no_cells = torch.zeros(0, dtype=torch.long, device=device)
    if not source_cells.any() or not target_cells.any():
        return no_cells, no_cells, no_cells.float()
    cells, nearest, weights = _nearest_cells(source.float(), target.float(), source_cells, target_cells, sampling)
    largest, chosen = weights.topk(min(count, len(weights)))
    return cells[chosen], nearest[chosen], largest


def _nearest_cells(
    source: Tensor, target: Tensor, source_cells: Tensor, target_cells: Tensor, sampling: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Match all cells of the source's grid with cells of the target's, row by row, by the cosine.

    Arguments are those of `match_surfaces`. Features are sampled by products, down · map · across (`sampling_matrix`).

    Returns:
        Cells of the source in row order, their nearest cells of the target, and weights, each `(N,)`.
    """
    device = source.device
    # cosines are products of unscaled features, divided by the lengths of both
    source_lengths = _lengths(source, source_cells, sampling)
    # only the target's rows and columns with cells that may be found are computed
    rows = target_cells.any(1).nonzero()[:, 0]
    columns = target_cells.any(0).nonzero()[:, 0]
    down = sampling_matrix(target.shape[1], len(target_cells), sampling, device)[rows]
    across = sampling_matrix(target.shape[2], target_cells.shape[1], sampling, device)[columns].T
    allowed = target_cells[rows[:, None], columns]
    scale = allowed / _lengths(target, target_cells, sampling)[rows[:, None], columns]  # 1 / length; 0 if not allowed
    bias = torch.where(allowed, 0.0, -torch.inf)  # a cell that may not be found is never the nearest
    features = source.permute(1, 2, 0)
    on_grid = (down @ (target @ across)).flatten(1)  # (C, cells that may be found)
    source_down = sampling_matrix(source.shape[1], len(source_cells), sampling, device)
    source_across = sampling_matrix(source.shape[2], source_cells.shape[1], sampling, device)
    # float32, counted 16 times: the maps then take a sixteenth of the workspace, 4 MiB, which stays in a CPU's cache
    bytes_of_map = 16 * 4 * allowed.numel()
    maps_at_once = items_in_workspace(device, bytes_of_map)
    cells: list[Tensor] = []
    nearest: list[Tensor] = []
    weights: list[Tensor] = []
    for row in source_cells.any(1).nonzero()[:, 0].tolist():
        of_row = torch.tensordot(source_down[row], features, 1)  # (w, C), features of this row of the grid
        for part in source_cells[row].nonzero()[:, 0].split(maps_at_once):
            products = (source_across[part] @ of_row @ on_grid).unflatten(1, allowed.shape)
            best, second, y, x = two_best(torch.addcmul(bias, products, scale))  # cosine · length of the source
            lengths = source_lengths[row, part]
            distance = (1 - best / lengths).clamp(min=CLOSEST)  # 1 − cosine, above 0
            second_distance = (1 - second / lengths).clamp(min=CLOSEST)
            weights.append(1 - distance / second_distance)
            nearest.append(rows[y] * target_cells.shape[1] + columns[x])  # index in the whole grid
            cells.append(row * source_cells.shape[1] + part)
    return torch.cat(cells), torch.cat(nearest), torch.cat(weights)


def two_best(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the largest and the second largest value of each of N maps, and row and column of the largest.

    Of equal values the first in row order counts as the largest. For speed, all values are read only once, for the
    maximum of each row; the second largest is in the rest of the largest's row, or the maximum of another row.

    Args:
        values: `(N, H, W)`.

    Returns:
        Largest value, second largest value, row and column, each `(N,)`.

    Example:
        >>> two_best(torch.tensor([[[0.0, 0, 3], [5, 5, 0], [5, 0, 0]]]))
        (tensor([5.]), tensor([5.]), tensor([1]), tensor([0]))
    """
    of_rows = values.amax(2)
    best, row = of_rows.max(1)
    line = values[torch.arange(len(values), device=values.device), row]  # a copy of the row with the largest value
    column = line.argmax(1)
    line.scatter_(1, column[:, None], -torch.inf)
    of_rows.scatter_(1, row[:, None], line.amax(1, keepdim=True))
    return best, of_rows.amax(1), row, column


def _lengths(features: Tensor, cells: Tensor, sampling: str) -> Tensor:
    """Return the Euclidean lengths `(H, W)` of features `(C, h, w)` that are sampled at the cells of a grid.

    Args:
        features: the features.
        cells: `(H, W)`, the grid; only its shape counts.
        sampling: as in `match_surfaces`.
    """
    down = sampling_matrix(features.shape[1], cells.shape[0], sampling, features.device)
    across = sampling_matrix(features.shape[2], cells.shape[1], sampling, features.device)
    squares = torch.zeros(cells.shape, dtype=torch.float32, device=features.device)
    for part in features.split(64):  # 64 channels fit into the CPU's cache
        squares += (down @ (part @ across.T)).square().sum(0)
    return squares.sqrt().clamp(min=1e-12)


def surface_errors(first: Tensor, second: Tensor, pose: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances of matched points in space and in the second picture.

    Args:
        first: points x, y, z `(N, 3)` in coordinates of the first camera, metres.
        second: their matches `(N, 3)` in coordinates of the second camera, metres.
        pose: `(4, 4)`, from coordinates of the first camera to coordinates of the second.
        intrinsics: `(3, 3)` of the second camera, in the pixels of the errors.

    Returns:
        Distances in metres and in pixels, each `(N,)` float64. A point behind the camera is many pixels away.

    Example:
        >>> first = torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.0, -1.0]])  # the second point is behind the camera
        >>> second = torch.tensor([[0.0, 0.5, 2.0], [0.1, 0.0, 1.0]])
        >>> intrinsics = torch.tensor([[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [0.0, 0.0, 1.0]]).double()
        >>> surface_errors(first, second, torch.eye(4).double(), intrinsics)
        (tensor([0.5000, 2.0000], dtype=torch.float64), tensor([2.5000e+01, 1.0000e+10], dtype=torch.float64))
    """
    moved = first.double() @ pose[:3, :3].T + pose[:3, 3]
    there = second.double()
    pixels = _projected(moved, intrinsics) - _projected(there, intrinsics)
    return (moved - there).norm(dim=1), pixels.norm(dim=1)


def _projected(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the pixels x, y `(N, 2)` of points `(N, 3)` in a camera's coordinates; far outside if behind it."""
    projected = points @ intrinsics.T
    return projected[:, :2] / projected[:, 2:].clamp(min=1e-9)
