"""Tracks through generated videos: the colour under a point stays, hidden points are covered or outside."""

import cv2
import numpy as np

from vidcorr.datasets import TapVid
from vidcorr.datasets.generated import render_video, write_tap_vid
from vidcorr.datasets.generated.scene import draw_video, video_tracks

SPRITES = (2, 4)


def colours(video, places, seen):
    """Bilinear colours at places (N, T, 2), NaN where not seen: (N, T, 3)."""
    at = np.float32(places)
    found = [
        cv2.remap(frame, at[:, t], None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE) for t, frame in enumerate(video)
    ]
    return np.where(seen[..., None], np.stack(found, 1)[:, :, 0], np.nan)


def test_the_colour_under_a_point_stays_and_half_a_pixel_beside_it_changes():
    changes, to_and_fro = {}, (-1) ** np.arange(24)[:, None]
    for index in range(1):
        video, masks = render_video(5, index, 24, (128, 160), SPRITES)
        _, light = draw_video(5, index, (128, 160), SPRITES)
        gains = np.exp([light(t) for t in range(24)])[:, None]
        points, hidden = video_tracks(5, index, masks, SPRITES, 30)
        for shift in ((0, 0), (0.5, 0), (0, 0.5)):
            found = colours(video, points + to_and_fro * shift, ~hidden) / gains
            changes.setdefault(shift, []).append(np.nanmean(np.nanstd(found, axis=1)))
    means = {shift: np.mean(values) for shift, values in changes.items()}
    assert means[0, 0] < 3
    assert all(means[0, 0] < 0.5 * value for shift, value in means.items() if shift != (0, 0))


def test_the_layout_is_tap_vids_and_the_same_each_time(tmp_path):
    root = write_tap_vid(tmp_path / "tap_vid", 2, frames=6, size=(48, 64), tracks=5)
    first, second = TapVid(root)
    assert (first.name, second.name) == ("synthetic-000", "synthetic-001")
    assert (first.points.shape, first.points.dtype) == ((5, 6, 2), np.float32)
    video, _ = render_video(0, 1, 6, (48, 64), SPRITES)
    np.testing.assert_array_equal(second.frame(3).permute(1, 2, 0), video[3])
    (again,) = TapVid(write_tap_vid(tmp_path / "other", 1, first=1, frames=6, size=(48, 64), tracks=5))
    np.testing.assert_array_equal(second.points, again.points)
