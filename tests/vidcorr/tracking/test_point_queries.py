"""A user's own points under point protocols: equal to the tracking functions."""

import numpy as np
import pytest
import torch

from vidcorr import FrameStream, follow
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.protocols import PointProtocol
from vidcorr.tracking.point_tracker import PointTracker
from vidcorr.videos.prompts import PointPrompt


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Noise of 64 × 96 px that moves right by 3 px a frame, as PNGs."""
    folder = tmp_path_factory.mktemp("video") / "pan"
    noise = np.random.default_rng(0).integers(0, 256, (16, 40, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    images = np.stack([noise[:, 20 - 3 * t : 116 - 3 * t] for t in range(5)])
    write_frames(folder, images, [f"{t:02d}.png" for t in range(5)])
    return folder


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", PointProtocol.sources())
def test_points_are_those_of_the_tracking_functions(video, colour, name):
    points = {"a": (30, 20), "b": (40.25, 33.5)}
    found = list(follow(colour, video, PointPrompt.of(points), "vidcorr-points" if name == "vidcorr" else name))
    frames = list(FrameStream(video))
    assert all((frame == own).all() for (frame, _), own in zip(found, frames, strict=True))
    queries = np.array([[0, 20.5 * 256 / 64, 30.5 * 256 / 96], [0, 34 * 256 / 64, 40.75 * 256 / 96]])
    rules = PointProtocol.named(name, "tap_vid")
    tracks = PointTracker(colour, rules).track(lambda t: iter(frames[t:]), 5, (64, 96), queries, False)
    expected = tracks.points * torch.tensor([96, 64]) / 256 - 0.5
    followed = torch.stack([points for _, points in found], dim=1)
    torch.testing.assert_close(followed[..., :2], expected, atol=1e-6, rtol=0)
    assert torch.equal(followed[..., 3].bool(), tracks.occluded)
    torch.testing.assert_close(expected[:, 0], torch.tensor([[30.0, 20.0], [40.25, 33.5]], dtype=torch.float64))
