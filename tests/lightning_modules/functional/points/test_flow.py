"""Chained flow against GMRW's numbers."""

import numpy as np
import torch

from lightning_modules.functional import PointProtocol, track_points
from lightning_modules.functional.points import track
from lightning_modules.functional.points.job import TrackingJob
from lightning_modules.functional.points.track import bilinear_corners


def look_up_flow(flow, places):
    """Return the flow (2, h, w), in cells, between cell centres: (N, 2), bilinearly; beyond them that of the border."""
    corners, weights = bilinear_corners(places, flow.shape[1], flow.shape[2])
    return torch.einsum("nk,nkd->nd", weights, flow.flatten(1).T[corners].to(weights))


def test_tracks_and_visibility_are_gmrws(peers, monkeypatch):
    """Its pixel centres are at integers, ours half a pixel further."""
    gmrw = {key.removeprefix("gmrw_"): peers[key][0] for key in peers if key.startswith("gmrw_")}
    forward, backward = torch.from_numpy(gmrw["forward_flows"]), torch.from_numpy(gmrw["backward_flows"])
    frames, (height, width) = len(forward) + 1, forward.shape[2:]

    def flow(job, here, there, positions):
        t, other = int(here[0, 0, 0]), int(there[0, 0, 0])
        return look_up_flow(forward[t] if other > t else backward[other], positions)

    monkeypatch.setattr(track, "flow", flow)
    queries = torch.from_numpy(gmrw["queries_tyx"]) + torch.tensor([0, 0.5, 0.5])
    protocol = PointProtocol.named("gmrw-chained", "tap_vid")
    job = TrackingJob(lambda t: torch.full((1, height, width), float(t)), frames, queries, (height, width), protocol)
    track.track_by_chaining(job)
    expected = gmrw["tracks_xy"].transpose(1, 0, 2)
    np.testing.assert_allclose(job.positions - 0.5, expected, atol=1e-4)
    inside = ((expected >= 0) & (expected < [width, height])).all(-1)
    own = np.arange(frames) == gmrw["queries_tyx"][:, :1]
    visible = (inside & (job.misses < protocol.cycle_threshold).numpy()) | own
    np.testing.assert_array_equal(visible, gmrw["visible"].T)
    assert 5 < visible.sum() < visible.size - 5


def test_flow_is_computed_only_where_points_are_and_equals_the_dense_one():
    features = torch.randn(3, 8, 6, 6)
    protocol = PointProtocol.named("gmrw-chained", "tap_vid").with_changes(scored_size=48)
    queries = torch.tensor([[0.0, 10.3, 17.9], [2.0, 33.0, 40.0]])
    job = TrackingJob(lambda t: features[t], 3, queries, (48, 48), protocol)
    own = torch.stack(torch.meshgrid(torch.arange(6) + 0.5, torch.arange(6) + 0.5, indexing="xy"), -1).view(-1, 2)
    table = track.flow(job, features[0], features[1], own).T.unflatten(1, (6, 6))
    position = torch.tensor([[17.9, 10.3]]) / 8
    found = track.flow(job, features[0], features[1], position)
    torch.testing.assert_close(found, look_up_flow(table, position))
    tracks = track_points(lambda t: features[t], 3, queries, protocol)
    torch.testing.assert_close(tracks.points[0, 1].float(), ((position + found) * 8)[0])
