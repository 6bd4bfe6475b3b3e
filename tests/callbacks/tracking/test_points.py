"""Points of frame 0 as heat-maps, and read from them again."""

import pytest
import torch
from torch import nn

from callbacks.tracking.points import PointAnnotation, points_of
from callbacks.tracking.view import View
from lightning_modules.functional import PropagationProtocol


@pytest.mark.parametrize("name", ["vfs", "crw"])
@pytest.mark.parametrize("short_side", [None, 160])
def test_points_come_back_to_their_cell(name: str, short_side: int | None) -> None:
    protocol = PropagationProtocol.named(name, "jhmdb").with_changes(input_size=None)
    view = View.of(nn.Identity(), (320, 320), protocol, short_side)
    points = torch.tensor([[80.0, 40.0], [250.0, 300.0]], dtype=torch.float64)
    given = PointAnnotation(points, view)
    grid = view.covered[0] // 8, view.covered[1] // 8
    heatmaps = given.encode(grid, protocol)
    assert heatmaps.shape == (2, *grid)
    pixel = 320 / view.seen[0]
    assert (points_of(heatmaps, protocol, view) - points).abs().max() <= 8 * pixel
    assert (given.read(heatmaps, protocol) - points).abs().max() <= (pixel if name == "vfs" else 8 * pixel)
