"""Points followed through a video: features are kept as far as they fit; a user's points are those of the function."""

import numpy as np
import pytest
import torch

from tests.helpers.encoders import clips_over
from vidcorr import FrameStream, follow
from vidcorr.backbones import build_feature_extractor
from vidcorr.protocols import PointProtocol
from vidcorr.tracking import point_following
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.point_following import follow_points
from vidcorr.videos.prompts import PointPrompt

RULES = PointProtocol.named("fomo", "tap_vid").with_changes(scored_size=64, input_size=None)
QUERIES = np.array([[0, 20, 28], [19, 44, 12]])
SIZE, FRAMES = (64, 64), 20
WHOLE = point_following.KEPT_FEATURES


def video(first):
    for t in range(first, FRAMES):
        yield torch.randint(256, (3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(t))


# 8 frames are at hand; of 4,000 bytes the first 5 too
BEGUN = {"images": {WHOLE: [0], 4000: [0, 4], 0: [0, 4, 0]}, "video": {WHOLE: [0], 4000: [0, 0], 0: [0, 0, 0]}}


@pytest.mark.parametrize("of", BEGUN)
def test_features_that_do_not_fit_are_made_again_and_tracks_are_the_same(of, monkeypatch):
    """Followed forwards and back, frame by frame and in passes of several."""
    colour = build_feature_extractor("raw_colour", stride=8)
    extractor = clips_over(colour) if of == "video" else colour
    tracks, begun = {}, {kept: [] for kept in BEGUN[of]}
    for kept, starts in begun.items():

        def counted(first, starts=starts):
            starts.append(first)
            return video(first)

        monkeypatch.setattr(FrameEncoder, "frames_at_once", lambda self, size, kept=kept: 5 if kept else 1)
        monkeypatch.setattr(point_following, "KEPT_FEATURES", kept)
        encoder = FrameEncoder(extractor, RULES.with_changes(tracking="chained"))
        tracks[kept] = follow_points(encoder, counted, FRAMES, SIZE, QUERIES)
        assert torch.equal(tracks[kept].points, tracks[WHOLE].points)
        assert torch.equal(tracks[kept].occluded, tracks[WHOLE].occluded)
    assert begun == BEGUN[of]
    assert (encoder.grid, encoder.watch.seconds.keys()) == ((8, 8), {"decode", "backbone", "track"})
    follow_points(encoder, lambda first: video(FRAMES - 1), 1, SIZE, QUERIES[:1])  # a picture


def test_the_raster_grows_with_the_padding(colour, monkeypatch):
    monkeypatch.setattr(point_following, "track_points", lambda *given, both_directions: given[4])
    encoder = FrameEncoder(colour, RULES.with_changes(input_padding=16))
    assert follow_points(encoder, video, FRAMES, (60, 50), QUERIES) == (64 * 64 / 60, 64 * 64 / 50)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", PointProtocol.sources())
def test_points_are_those_of_the_tracking_functions(folder, colour, name):
    points, stream = {"a": (30, 20), "b": (40.25, 33.5)}, FrameStream(folder / "frames", 0, 5)
    found = list(follow(colour, stream, PointPrompt.of(points), f"{name}-points"))
    frames = list(stream)
    assert all((frame == own).all() for (frame, _), own in zip(found, frames, strict=True))
    queries = np.array([[0, 20.5 * 256 / 96, 30.5 * 256 / 130], [0, 34 * 256 / 96, 40.75 * 256 / 130]])
    encoder = FrameEncoder(colour, PointProtocol.named(name, "tap_vid"))
    tracks = follow_points(encoder, lambda t: iter(frames[t:]), 5, (96, 130), queries, False)
    expected = tracks.points * torch.tensor([130, 96]) / 256 - 0.5
    followed = torch.stack([points for _, points in found], dim=1)
    torch.testing.assert_close(followed[..., :2], expected, atol=1e-6, rtol=0)
    assert torch.equal(followed[..., 3].bool(), tracks.occluded)
    torch.testing.assert_close(expected[:, 0], torch.tensor([[30.0, 20.0], [40.25, 33.5]], dtype=torch.float64))
