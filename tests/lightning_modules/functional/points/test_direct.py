"""Direct tracking: passes over the video, and scales."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from lightning_modules.functional.points import job as job_module, track_points
from tests.helpers.points import CELL, CELLS, FRAMES, protocol, queries_and_truth


def test_query_frames_that_do_not_fit_take_several_passes(moving, monkeypatch):
    queries, _ = queries_and_truth([0, 3, 5, 3, 0])
    rules = protocol("vidcorr")
    one = track_points(moving.__getitem__, FRAMES, queries, rules)
    monkeypatch.setattr(job_module, "KEPT_MAPS", 1)
    asked = []

    def features(t):
        asked.append(t)
        return moving[t]

    several = track_points(features, FRAMES, queries, rules)
    assert asked.count(1) == 3
    assert_close(several.points, one.points, rtol=0, atol=1e-3)  # pixels: sums differ with the queries in a product
    assert (one.occluded == several.occluded).all()


def test_raster_coordinates_scale_by_multiplication(moving):
    queries, truth = queries_and_truth([1])
    large = queries * torch.tensor([1, 3, 3])
    rules = protocol("fomo", scored_size=3 * CELLS * CELL)
    tracks = track_points(moving.__getitem__, FRAMES, large, rules)
    torch.testing.assert_close(tracks.points, truth * 3)
    padded = F.pad(moving, (0, 4, 0, 0))  # four more columns of cells than the picture has
    tracks = track_points(padded.__getitem__, FRAMES, queries, protocol("fomo"), covered=(CELLS * CELL, 20 * CELL))
    torch.testing.assert_close(tracks.points, truth)
