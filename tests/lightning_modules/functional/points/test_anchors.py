"""DINO-Tracker's occlusion by anchors: its own numbers, and a loop over queries, anchors and frames."""

import pytest
import torch

from lightning_modules.functional import PointProtocol, track_points
from lightning_modules.functional.points.job import TrackingJob
from lightning_modules.functional.points.matching import decode_positions, sample_features, similarity_maps
from lightning_modules.functional.points.track import beyond_anchors

FRAMES, CELLS, CELL = 8, 10, 8


def test_the_rule_is_dino_trackers(peers):
    peer = {key[9:]: torch.from_numpy(peers[key]) for key in peers if key.startswith("dino_occ_")}
    anchor_threshold, threshold = peer["thresholds"].tolist()
    anchors = peer["similarity"] >= anchor_threshold
    distances = torch.full((1, len(anchors), len(anchors)), torch.nan)
    distances[0, anchors] = (peer["anchor_predictions"] - peer["trajectory"][anchors][:, None]).norm(dim=-1)
    doubtful = beyond_anchors(distances, anchors[None])[0]
    assert torch.equal(doubtful | (peer["similarity"] < threshold), peer["occluded"])
    assert 0 < doubtful.sum() < len(doubtful)


@pytest.fixture(scope="module")
def features():
    generator = torch.Generator().manual_seed(0)
    still = torch.randn(1, 6, CELLS, CELLS, generator=generator)
    return still + 0.9 * torch.randn(FRAMES, 6, CELLS, CELLS, generator=generator)


def doubtful_frames(features, track, similarity, begin, rules):
    """Frames of one track from `begin` on whose error is above that of every anchor, by a loop."""

    def place_of(t, descriptor):
        scores = similarity_maps(descriptor[None], features[t])
        return decode_positions(scores, rules.decoding, rules.temperature, rules.decoding_radius)[0]

    frames = range(begin, FRAMES)
    anchors = [t for t in frames if similarity[t] >= rules.anchor_similarity]
    errors = {}
    for t in frames:
        descriptor = sample_features(features[t], (track[t] / CELL).float()[None])[0]
        misses = [float((place_of(anchor, descriptor) - track[anchor] / CELL).norm()) for anchor in anchors]
        errors[t] = sorted(misses)[(len(misses) - 1) // 2]
    limit = max(errors[anchor] for anchor in anchors)
    return torch.tensor([t in errors and errors[t] > limit for t in range(FRAMES)])


@pytest.mark.parametrize("both_directions", [True, False])
@pytest.mark.parametrize("workspace", [1, 64 * 2**20])
def test_equal_to_a_loop(features, both_directions, workspace, monkeypatch):
    monkeypatch.setattr(TrackingJob, "workspace", workspace)
    rules = PointProtocol.named("tapir-matching", "tap_vid").with_changes(
        scored_size=CELLS * CELL, occlusion="similarity+anchors", similarity_threshold=0.3, anchor_similarity=0.75
    )
    positions = torch.rand(12, 2, generator=torch.Generator().manual_seed(2)) * CELLS * CELL
    queries = torch.cat([torch.tensor([0.0, 3, 7, 1] * 3)[:, None], positions], dim=1).double()
    tracks = track_points(features.__getitem__, FRAMES, queries, rules, both_directions=both_directions)
    expected = torch.zeros(len(queries), FRAMES, dtype=torch.bool)
    for number, start in enumerate(queries[:, 0].long().tolist()):
        begin = 0 if both_directions else start
        found = doubtful_frames(features, tracks.points[number], tracks.similarity[number], begin, rules)
        expected[number] = found | (tracks.similarity[number] < 0.3)
        expected[number, :begin] = True
        expected[number, start] = False
    assert torch.equal(tracks.occluded, expected)
    by_anchors = expected & (tracks.similarity >= 0.3) & (torch.arange(FRAMES) >= queries[:, :1])
    assert by_anchors.sum() > 3
