"""Points followed through videos of features whose motion is known; independence, occlusion, flow.

Also tests `points/job.py`.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers.refusal import refused
from vidcorr.functional import device, track_points
from vidcorr.functional.points import job as job_module, track
from vidcorr.functional.points.matching import sample_features
from vidcorr.functional.propagation.comparison import whitened_by
from vidcorr.protocols import PointProtocol

FRAMES, CELLS, CELL = 6, 16, 8
STEP = (1, -1)
"""Rows and columns by which everything moves from frame to frame."""


def protocol(name, **changes):
    return PointProtocol.named(name, "tap_vid").with_changes(**{"scored_size": CELLS * CELL, **changes})


SHARP = {name: {"feature_normalisation": "l2"} for name in ("gmrw-chained", "vidcorr")}
"""Changes under which random features are told apart, with a low temperature."""


def queries_and_truth(times):
    """Queries at cell centres, and their tracks (N, T, 2)."""
    generator = torch.Generator().manual_seed(1)
    cells = torch.randint(6, 10, (len(times), 2), generator=generator) + 0.5
    since = torch.arange(FRAMES) - torch.tensor(times)[:, None]
    places = cells[:, None] + since[..., None] * torch.tensor([STEP[1], STEP[0]])
    queries = torch.cat([torch.tensor(times)[:, None], cells.flip(1) * CELL], dim=1)
    return queries.double(), places.double() * CELL


@pytest.fixture(scope="module")
def moving():
    """Random features that move by whole cells and wrap around."""
    features = torch.randn(64, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    return torch.stack([features.roll((t * STEP[0], t * STEP[1]), (1, 2)) for t in range(FRAMES)])


@pytest.mark.parametrize("name", PointProtocol.sources())
def test_points_are_found_in_both_directions_in_time_or_only_ahead(moving, name):
    queries, truth = queries_and_truth([0, 3, 5, 2])
    rules = protocol(name, temperature=0.01, **SHARP.get(name, {}))
    tracks = track_points(moving.__getitem__, FRAMES, queries, rules)
    assert tracks.points.dtype == torch.float64
    assert (tracks.points - truth).norm(dim=-1).max() < 1.5
    assert not tracks.occluded.any()
    found = [sample_features(moving[t], tracks.points[:, t] / CELL) for t in range(FRAMES)]
    asked = [sample_features(moving[int(t)], torch.tensor([[x, y]]) / CELL)[0] for t, y, x in queries]
    similarity = F.cosine_similarity(torch.stack(found, dim=1), torch.stack(asked)[:, None], dim=2)
    torch.testing.assert_close(tracks.similarity, similarity, atol=1e-4, rtol=0)
    ahead = track_points(moving.__getitem__, FRAMES, queries, rules, both_directions=False)
    before = torch.arange(FRAMES) < queries[:, :1]
    assert torch.equal(ahead.occluded, before)
    assert torch.equal(ahead.points[before], queries[:, None, [2, 1]].expand_as(truth)[before])
    assert (ahead.points - truth)[~before].norm(dim=-1).max() < 1.5


def test_features_are_whitened_by_frame_0(moving):
    queries, _ = queries_and_truth([3])
    drifting = moving + torch.arange(FRAMES).view(-1, 1, 1, 1) * moving[0, :, :1, :1]
    rules = protocol("vidcorr")
    tracks = track_points(drifting.__getitem__, FRAMES, queries, rules)
    whitened = [*map(whitened_by(drifting[0], rules), drifting)]
    expected = track_points(whitened.__getitem__, FRAMES, queries, protocol("vidcorr", **SHARP["vidcorr"]))
    torch.testing.assert_close(tracks.points, expected.points)


@pytest.mark.parametrize("name", ["vidcorr", "gmrw-chained"])
def test_a_query_does_not_depend_on_the_others_nor_on_memory(moving, name, monkeypatch):
    """Neither on the workspace, nor on how many query frames' features are kept at a time."""
    noisy = moving + 0.8 * torch.randn(moving.shape)
    rules = protocol(name, query_mode="strided")
    queries, _ = queries_and_truth([0, 3, 5, 3, 0])
    together = track_points(noisy.__getitem__, FRAMES, queries, rules)
    with monkeypatch.context() as patch:
        patch.setattr(track, "KEPT_MAPS", 1)
        patch.setattr(track, "KEPT_MATCHES", 1)
        patch.setattr(device, "WORKSPACE", 1)
        small = track_points(noisy.__getitem__, FRAMES, queries, rules)
    for number in range(len(queries)):
        alone = track_points(noisy.__getitem__, FRAMES, queries[[number]], rules)
        for other in (alone.points[0], small.points[number]):
            torch.testing.assert_close(other, together.points[number], atol=1e-3, rtol=0)
        assert (alone.occluded[0] == together.occluded[number]).all()
    assert (small.occluded == together.occluded).all()


@pytest.mark.parametrize("name", PointProtocol.sources())
def test_features_that_are_not_finite_are_refused(moving, name):
    broken = moving.clone()
    broken[3] = torch.nan
    query = torch.tensor([[1.0, 40.0, 50.0]])
    refused(ValueError, "tracks are not finite", track_points, broken.__getitem__, FRAMES, query, protocol(name))


def test_tracks_and_visibility_are_gmrws(peers, monkeypatch):
    """Its pixel centres are at integers, ours half a pixel further."""
    gmrw = {key.removeprefix("gmrw_"): peers[key][0] for key in peers if key.startswith("gmrw_")}
    forward, backward = torch.from_numpy(gmrw["forward_flows"]), torch.from_numpy(gmrw["backward_flows"])
    frames, (height, width) = len(forward) + 1, forward.shape[2:]

    def flow(job, here, there, positions):
        t, other = int(here[0, 0, 0]), int(there[0, 0, 0])
        return sample_features(forward[t] if other > t else backward[other], positions)

    monkeypatch.setattr(track, "flow", flow)
    queries = torch.from_numpy(gmrw["queries_tyx"]) + torch.tensor([0, 0.5, 0.5])
    rules = PointProtocol.named("gmrw-chained")
    job = job_module.TrackingJob(
        lambda t: torch.full((1, height, width), float(t)), frames, queries, (height, width), rules, True
    )
    track.track_by_chaining(job)
    expected = gmrw["tracks_xy"].transpose(1, 0, 2)
    np.testing.assert_allclose(job.positions - 0.5, expected, atol=1e-4)
    inside = ((expected >= 0) & (expected < [width, height])).all(-1)
    own = np.arange(frames) == gmrw["queries_tyx"][:, :1]
    visible = (inside & (job.misses < rules.cycle_threshold).numpy()) | own
    np.testing.assert_array_equal(visible, gmrw["visible"].T)
    assert 5 < visible.sum() < visible.size - 5
