"""Rendered videos: deterministic, exact, and with sprites that travel, enter and stay in sight."""

from typing import Any

import numpy as np

from datamodules.synthetic import render_video

SMALL: dict[str, Any] = {"frames": 6, "size": (64, 80)}


def test_shapes() -> None:
    video, masks = render_video(0, 0, 3, (64, 80), sprites=(3, 3))
    assert (video.shape, video.dtype) == ((3, 64, 80, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((3, 64, 80), np.uint8)
    assert np.unique(masks[0]).tolist() == [0, 1, 2, 3]


def test_same_arguments_same_video_and_fewer_frames_a_prefix() -> None:
    video, masks = render_video(3, 7, 6, (64, 80))
    again, masks_again = render_video(3, 7, 4, (64, 80))
    assert np.array_equal(video[:4], again)
    assert np.array_equal(masks[:4], masks_again)


def test_other_index_or_seed_other_video() -> None:
    video, _ = render_video(0, 0, 1, (64, 80))
    for seed, index in ((0, 1), (1, 0)):
        assert np.abs(render_video(seed, index, 1, (64, 80))[0].astype(int) - video).mean() > 10


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
