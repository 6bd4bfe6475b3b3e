"""Tiles of queries cover a map once, within their budget, and reach every neighbour."""

from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.functional.propagation.tiles import Neighbourhood, tiles

MAPS = [(9, 13), (1, 40), (30, 5), (17, 17)]


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("reach", [None, 0, 2, 5])
@pytest.mark.parametrize("slide", [True, False])
@pytest.mark.parametrize("budget", [1, 2000, 10**9])
def test_every_query_is_in_one_tile_and_its_neighbours_are_among_the_keys(
    size: tuple[int, int], reach: int | None, slide: bool, budget: int
) -> None:
    height, width = size
    covered = np.zeros(size, int)
    for tile in tiles(height, width, reach, 3, budget, slide):
        covered[tile.query_slices] += 1
        rows, columns = tile.keys
        if reach is None:
            assert (len(rows), len(columns)) == size
        else:
            assert rows.start == max(tile.rows.start - reach, 0)
            assert columns.stop == min(tile.columns.stop + reach, width)
        single = len(tile.rows) == len(tile.columns) == 1
        assert single or 3 * tile.products <= budget
    assert (covered == 1).all()


@pytest.mark.parametrize("shape", ["circle", "disc", "square"])
@pytest.mark.parametrize("radius", [0.5, 1, 2.5, 4])
def test_a_neighbourhood_is_what_its_name_says(shape: Any, radius: float) -> None:
    neighbourhood = Neighbourhood(radius, shape)
    found = {
        (int(dy) - neighbourhood.reach, int(dx) - neighbourhood.reach) for dy, dx in np.argwhere(neighbourhood.kept)
    }
    inside = {
        "circle": lambda dy, dx: np.hypot(dy, dx) < radius,
        "disc": lambda dy, dx: np.hypot(dy, dx) <= radius,
        "square": lambda dy, dx: max(abs(dy), abs(dx)) <= radius,
    }[shape]
    assert found == {(dy, dx) for dy in range(-6, 7) for dx in range(-6, 7) if inside(dy, dx)}
    assert torch.equal(neighbourhood.mask(torch.device("cpu")), torch.from_numpy(neighbourhood.kept))
