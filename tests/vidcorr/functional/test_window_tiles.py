"""Tiles and their frames against loops over queries and keys."""

from itertools import product

import pytest
import torch

from vidcorr.functional.window_tiles import Neighbourhood, Part, Tile, TileGrid

NEIGHBOURHOODS = [Neighbourhood(2.5), Neighbourhood(2, "disc"), Neighbourhood(1, "square")]


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
@pytest.mark.parametrize("slides", [False, True])
def test_addresses_name_the_keys_of_each_query(neighbourhood, slides):
    """Each number of a block says which key and which query it belongs to."""
    tile, reach = Tile((range(1, 8), range(3, 6)), (9, 7), neighbourhood, slides), neighbourhood.reach
    places = list(product(*tile.at))
    queries = torch.tensor([[100 * y + x] for y, x in places]).float()
    met = tile.met(queries)[:, 0] if slides else queries.T.expand(len(tile.keys[0]), -1)
    block = torch.full((*tile.frame_size, tile.queries, 3), -1.0)
    on_map = block[tile.inner]
    on_map[..., 0] = met[:, None]
    on_map[..., 1], on_map[..., 2] = (
        torch.tensor(tile.keys[0])[:, None, None],
        torch.tensor(tile.keys[1])[:, None],
    )
    offsets = [(y, x) for y, x in product(range(-reach, reach + 1), repeat=2) if neighbourhood.contains(y, x)]
    for (y, x), addresses, near in zip(places, tile.addresses, tile.near, strict=True):
        inside = [(y + dy, x + dx) for dy, dx in offsets if 0 <= y + dy < 9 and 0 <= x + dx < 7]
        found = [row for row in block.flatten(0, 2)[addresses].tolist() if row[0] >= 0]
        assert found == [[100 * y + x, *key] for key in inside]
        cells = [(cell // tile.frame_size[1], cell % tile.frame_size[1]) for cell in near.nonzero()[0].tolist()]
        assert [(row + tile.frame[0].start, column + tile.frame[1].start) for row, column in cells] == [
            (y + dy, x + dx) for dy, dx in offsets
        ]


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
@pytest.mark.parametrize("tile_size", [(8, 8), (7, 4), (2, 3)])
def test_a_grid_cuts_maps_and_puts_them_together(neighbourhood, tile_size):
    grid = TileGrid((7, 10), neighbourhood, tile_size)
    maps = torch.randn(2, 7, 10, 3, dtype=torch.float64)
    assert torch.equal(grid.from_queries(grid.queries(maps)), maps)
    frames = grid.frames(grid.pad(maps))
    down, across = (torch.from_numpy(grid.on_map(axis)) for axis in (0, 1))
    on_map = down[:, None, :, None] & across[None, :, None]
    assert torch.equal(on_map, grid.frames(grid.pad(torch.ones_like(maps)))[0, ..., 0] > 0)
    for row, column in product(*map(range, grid.shape)):
        top, left = (index * side - grid.reach for index, side in zip((row, column), tile_size, strict=True))
        for y, x in on_map[row, column].nonzero().tolist():
            assert torch.equal(frames[:, row, column, y, x], maps[:, top + y, left + x])
    # the sum of frames is the transpose of cutting them
    others, summed = torch.randn_like(frames), maps.new_zeros(2, *grid.padded, 3)
    for row in range(grid.shape[0]):
        part = Part(slice(0, 2), slice(row, row + 1))
        grid.add_frames(summed, others[part].flatten(0, 2).flatten(1, 2), part)
    torch.testing.assert_close((grid.crop(summed) * maps).sum(), (others * frames).sum())
