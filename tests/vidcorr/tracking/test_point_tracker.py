"""Points followed through a video: features are kept as far as they fit, and maps are kept separate."""

import numpy as np
import pytest
import torch

from vidcorr.backbones import Clips, build_feature_extractor
from vidcorr.protocols import PointProtocol
from vidcorr.tracking import point_tracker
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.point_tracker import PointTracker

RULES = PointProtocol.named("fomo", "tap_vid").with_changes(scored_size=64, input_size=None)
QUERIES = np.array([[0.0, 20, 28], [2.0, 44, 12]])
SIZE, FRAMES = (64, 64), 12


def video(first):
    for t in range(first, FRAMES):
        yield torch.randint(256, (3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(t))


def test_a_still_point_stays_in_the_centre_of_its_cell():
    def still(first):
        return iter([next(video(0))] * (FRAMES - first))

    extractor = build_feature_extractor("raw_colour", stride=8)
    tracks = PointTracker(extractor, RULES).track(still, FRAMES, SIZE, QUERIES)
    cells = torch.tensor([[28.0, 20], [12, 44]], dtype=torch.float64)
    torch.testing.assert_close(tracks.points, cells[:, None].expand(-1, FRAMES, -1))


def test_the_protocol_and_the_grid_are_those_of_the_map():
    tracker = PointTracker(build_feature_extractor("torchvision:resnet18", stage="res2"), RULES)
    assert tracker.protocol.feature_stride == 4
    tracker.track(video, 3, SIZE, QUERIES)
    assert tracker.grid == (16, 16)
    assert {"decode", "backbone", "track"} <= tracker.watch.seconds.keys()


@pytest.mark.parametrize("of_video", [False, True])
@pytest.mark.parametrize("at_once", [1, 5])
def test_features_that_do_not_fit_are_made_again_and_tracks_are_the_same(at_once, of_video, monkeypatch):
    """Followed forwards and back, frame by frame and in passes of several."""
    colour = build_feature_extractor("raw_colour", stride=8)
    monkeypatch.setattr(point_tracker, "BLOCK", 3)
    tracks, begun = {}, {}
    for kept in (10**9, 4000, 0):
        starts = begun.setdefault(kept, [])

        def counted(first, starts=starts):
            starts.append(first)
            return video(first)

        extractor = (
            Clips(lambda clip: colour(clip[0]).transpose(0, 1)[None], 4, 1, layout="TCHW") if of_video else colour
        )
        monkeypatch.setattr(FrameEncoder, "frames_at_once", lambda self, size, kept=kept: at_once if kept else 1)
        monkeypatch.setattr(point_tracker, "KEPT_FEATURES", kept)
        tracker = PointTracker(extractor, RULES.with_changes(tracking="chained"))
        tracks[kept] = tracker.track(counted, FRAMES, SIZE, QUERIES)
        assert torch.equal(tracks[kept].points, tracks[10**9].points)
        assert torch.equal(tracks[kept].occluded, tracks[10**9].occluded)
    assert begun[10**9] == [0]
    assert len(begun[0]) > 1
    assert set(begun[0]) == {0} if of_video else max(begun[0]) > 0
