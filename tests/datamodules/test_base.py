"""Warnings and counts of replaced videos."""

import pytest

from datamodules.base import SampledDataModule


def test_each_video_is_named_once_and_too_many_are_told_once_and_not_before_five():
    data = SampledDataModule("videos", 1, 0, 0)
    data.max_unusable = 0.4
    batch = {"failures": ["a.mp4: broken"]}
    with pytest.warns(UserWarning, match=r"replaced by another video: a\.mp4: broken") as told:
        for _ in range(4):
            data.on_after_batch_transfer(batch, 0)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="TOO MANY UNUSABLE VIDEOS: 5 of 10 clips so far .* check-data videos") as told:
        for _ in range(5):
            data.on_after_batch_transfer(batch, 0)
    assert len(told) == 1
    assert data.skipped == {"a.mp4": 9}
