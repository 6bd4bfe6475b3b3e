"""Tracks through generated videos: the colour under a point stays, hidden points are covered or outside."""

import cv2
import numpy as np

from vidcorr.datasets import TapVid
from vidcorr.datasets.generated import write_tap_vid
from vidcorr.datasets.generated.scene import Scenes


def colours(video, places, seen):
    """Bilinear colours at places (N, T, 2), NaN where not seen: (N, T, 3)."""
    at = np.float32(places)
    found = [
        cv2.remap(frame, at[:, t], None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE) for t, frame in enumerate(video)
    ]
    return np.where(seen[..., None], np.stack(found, 1)[:, :, 0], np.nan)


def test_the_colour_under_a_point_stays_and_half_a_pixel_beside_it_changes():
    of = Scenes(5, frames=24, size=(128, 160))
    video, masks = of.render(0)
    _, light = of.draw(0)
    gains = np.exp([light(t) for t in range(24)])[:, None]
    points, hidden = of.tracks(0, masks, 30)
    changes, to_and_fro = {}, (-1) ** np.arange(24)[:, None]
    for shift in ((0, 0), (0.5, 0), (0, 0.5)):
        found = colours(video, points + to_and_fro * shift, ~hidden) / gains
        changes[shift] = np.nanmean(np.nanstd(found, axis=1))
    still = changes.pop((0, 0))
    assert still < 3
    assert all(still < 0.5 * change for change in changes.values())


def test_the_layout_is_tap_vids(tmp_path):
    root = write_tap_vid(tmp_path / "tap_vid", 2, frames=6, size=(48, 64), tracks=5)
    first, second = TapVid(root)
    assert (first.name, second.name) == ("synthetic-000", "synthetic-001")
    assert (first.points.shape, first.points.dtype) == ((5, 6, 2), np.float32)
    video, _ = Scenes(0, 1, 6, (48, 64)).render(0)
    np.testing.assert_array_equal(second.frame(3).permute(1, 2, 0), video[3])
