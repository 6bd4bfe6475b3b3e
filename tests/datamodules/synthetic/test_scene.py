"""Rendered videos: deterministic, exact, and with sprites that travel, enter and stay in sight."""

import numpy as np

from datamodules.synthetic import render_video


def test_same_arguments_same_video_and_fewer_frames_a_prefix() -> None:
    video, masks = render_video(3, 7, 6, (64, 80))
    again, masks_again = render_video(3, 7, 4, (64, 80))
    assert np.array_equal(video[:4], again)
    assert np.array_equal(masks[:4], masks_again)
