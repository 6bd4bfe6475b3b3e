"""Propagation of the queries of all frames together against one `LabelPropagator` for each frame."""

import pytest
import torch
import torch.nn.functional as F

from vidcorr.functional import track_points
from vidcorr.functional.points import propagated
from vidcorr.functional.points.matching import cell_centres
from vidcorr.functional.propagation.propagate import LabelPropagator
from vidcorr.protocols import PointProtocol

FRAMES, CELLS, CELL = 9, 12, 8


@pytest.fixture(scope="module")
def features():
    maps = torch.randn(FRAMES, 8, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(maps, 3, 1, 1)


def one_by_one(features, queries, rules):
    """Tracks of each query by a separate propagation: the centres of the heat-maps."""
    tracks = queries[:, None, [2, 1]].repeat(1, FRAMES, 1)
    at = (torch.arange(CELLS) + 0.5) * CELL
    for number, (t, y, x) in enumerate(queries.tolist()):
        first = (-((at[:, None] - y) ** 2 + (at - x) ** 2) / (2 * rules.sigma**2)).exp()[None]
        for order in (range(int(t), FRAMES), range(int(t), -1, -1)):
            propagator = LabelPropagator(first, rules.propagation())
            for now in order:
                heatmap = propagator.step(features[now])
                if now == int(t):
                    continue
                weights = heatmap[0].double() / heatmap.sum()
                tracks[number, now] = torch.stack([weights.sum(0) @ at.double(), weights.sum(1) @ at.double()])
    return tracks


@pytest.mark.sampled(3)
@pytest.mark.parametrize("changes", [{}, {"context": 1}, {"context": 3, "matches": 2, "radius": None}])
def test_equal_to_a_propagation_for_each_query(features, changes, monkeypatch):
    centres = cell_centres(CELLS, CELLS) * CELL
    centre = lambda maps, *rest: (maps.flatten(1), centres.expand(len(maps), -1, -1))  # noqa: E731
    monkeypatch.setattr(propagated, "best_pixels", centre)
    rules = PointProtocol.named("fgvc", "tap_vid").with_changes(scored_size=CELLS * CELL, radius=4.0)
    rules = rules.with_changes(**changes)
    generator = torch.Generator().manual_seed(1)
    positions = 16 + torch.rand(7, 2, generator=generator) * (CELLS * CELL - 32)
    queries = torch.cat([torch.tensor([0, 0, 2, 4, 4, 7, 8.0])[:, None], positions], dim=1).double()
    expected = one_by_one(features, queries, rules)
    tracks = track_points(features.__getitem__, FRAMES, queries, rules)
    torch.testing.assert_close(tracks.points, expected, atol=0.02, rtol=0)
    assert (expected - queries[:, None, [2, 1]]).norm(dim=-1).max() > 8


@pytest.mark.parametrize("name", ["fgvc", "vidcorr", "fomo", "tapir-matching", "gmrw-chained"])
def test_features_that_are_not_finite_are_refused(features, name):
    broken = features.clone()
    broken[3] = torch.nan
    rules = PointProtocol.named(name, "tap_vid").with_changes(scored_size=CELLS * CELL)
    with pytest.raises(ValueError, match="tracks are not finite"):
        track_points(broken.__getitem__, FRAMES, torch.tensor([[1.0, 40.0, 50.0]]), rules)
