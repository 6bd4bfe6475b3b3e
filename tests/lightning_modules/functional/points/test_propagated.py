"""Points by label propagation: heat-maps that are drawn and read, and those that vanish."""

import torch
from tests.helpers.points import CELL, CELLS, SHARP, protocol

from lightning_modules.functional.points import track_points


def test_a_point_of_a_still_video_stays_where_it_is() -> None:
    features = torch.randn(64, CELLS, CELLS)
    queries = torch.tensor([[0.0, 6.5 * CELL, 9.5 * CELL], [2.0, 8 * CELL + 3.0, 5 * CELL + 1.0]])
    tracks = track_points(lambda t: features, 4, queries, protocol("fgvc", **SHARP["fgvc"]))
    expected = queries[:, None, [2, 1]].double().expand(-1, 4, -1)
    assert (tracks.points - expected).norm(dim=-1).max() < CELL / 2


def test_a_point_whose_heat_map_has_vanished_stays_where_it_was() -> None:
    features = torch.randn(3, 64, CELLS, CELLS)
    features[1:] = -features[:1]  # nothing resembles the first frame; every weight is a small one
    query = torch.tensor([[0.0, 0.5 * CELL, 0.5 * CELL]])
    rules = protocol("fgvc", temperature=1e-3, radius=2.0, sigma=0.01)  # no cell centre sees the Gaussian
    query[0, 1:] += 0.4 * CELL
    tracks = track_points(features.__getitem__, 3, query, rules)
    assert torch.equal(tracks.points[0, 1:], query[0, [2, 1]].double().expand(2, -1))
