"""Rendered videos: deterministic, exact, and with sprites that travel, enter and stay in sight."""

import numpy as np

from datamodules.synthetic import render_video


def test_same_arguments_same_video_and_fewer_frames_a_prefix() -> None:
    video, masks = render_video(3, 7, 6, (64, 80))
    again, masks_again = render_video(3, 7, 4, (64, 80))
    assert np.array_equal(video[:4], again)
    assert np.array_equal(masks[:4], masks_again)


def test_sprites_travel_and_keep_being_seen() -> None:
    for index in range(4):
        _, masks = render_video(0, index, 48, (128, 128))
        centres = []
        for mask in masks:
            y, x = np.nonzero(mask == mask.max())
            centres.append((x.mean(), y.mean()))
        assert np.ptp(np.array(centres), axis=0).max() > 20
        for number in range(1, masks.max() + 1):
            assert (masks == number).any((1, 2)).mean() > 0.7


def test_sprites_may_appear_later() -> None:
    video, masks = render_video(0, 0, 8, (64, 80), (3, 3), latest=6)
    whole, _ = render_video(0, 0, 8, (64, 80), (3, 3))
    first = [int(np.flatnonzero((masks == number).any((1, 2)))[0]) for number in (1, 2, 3)]
    assert first[0] == 0
    assert max(first) > 0
    assert np.array_equal(video[7], whole[7])
    assert not np.array_equal(video[0], whole[0])
