"""A user's own points under point protocols: equal to the tracking functions, from a CSV or a grid, drawn."""

import csv
import json

import numpy as np
import pytest
import torch

from vidcorr import FrameStream, follow, predict_video
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.functional import PointProtocol
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
    assert [item.t for _, item in found] == list(range(5))
    stream = FrameStream(video)
    frames = list(stream)
    assert all((frame == own).all() for (frame, _), own in zip(found, frames, strict=True))
    queries = np.array([[0, 20.5 * 256 / 64, 30.5 * 256 / 96], [0, 34 * 256 / 64, 40.75 * 256 / 96]])
    rules = PointProtocol.named(name, "tap_vid")
    tracks = PointTracker(colour, rules).track(lambda t: iter(frames[t:]), 5, (64, 96), queries, False)
    expected = tracks.points * torch.tensor([96, 64]) / 256 - 0.5
    torch.testing.assert_close(found[0][1].points, expected, atol=1e-6, rtol=0)
    assert (found[0][1].occluded == tracks.occluded).all()
    torch.testing.assert_close(expected[:, 0], torch.tensor([[30.0, 20.0], [40.25, 33.5]], dtype=torch.float64))


def test_a_grid_over_the_first_frame(video, colour, tmp_path):
    content = predict_video(colour, video, PointPrompt.of("grid:3"), tmp_path / "out", "vidcorr-points")
    rows = list(csv.DictReader((tmp_path / "out" / "points.csv").open()))
    assert list(rows[0]) == ["frame", "name", "x", "y", "score", "occluded"]
    assert len(rows) == 5 * 9
    first = [(row["name"], float(row["x"]), float(row["y"]), row["occluded"]) for row in rows[:9]]
    assert first[0] == ("1-1", pytest.approx(15.5, abs=1e-3), pytest.approx(10.167, abs=1e-3), "0")
    assert first[-1] == ("3-3", pytest.approx(79.5, abs=1e-3), pytest.approx(52.833, abs=1e-3), "0")
    assert (tmp_path / "out" / "overlay.mp4").stat().st_size > 1000
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record == content | {"date": record["date"]}
    assert record["protocol"]["name"] == "vidcorr+feature_stride=4"
    assert record["protocol"]["tracking"] == "direct"
    assert len(record["prompt"]["points"]) == 9
