"""Warnings and counts of replaced videos."""

import warnings

from datamodules.base import SampledDataModule
from tests.helpers.refusal import refused
from tests.helpers.training import InMemory
from vidcorr.videos.files import DataError

BROKEN = ["a.mp4: broken"]


def test_each_video_is_named_once_and_too_many_are_told_once_and_not_before_five():
    data = SampledDataModule("videos", 1, 0, 0)
    data.max_unusable = 0.4
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for failures in [BROKEN] * 9 + [[]] * 9 + [BROKEN] * 11:  # 5 of 10 are too many, and 19 of 46 again
            data.on_after_batch_transfer({"failures": failures}, 0)
    named, many = (str(each.message) for each in told)
    assert named == "replaced by another video: a.mp4: broken"
    assert many.startswith("TOO MANY UNUSABLE VIDEOS: 5 of 10 clips so far")
    assert data.skipped == {"a.mp4": 20}


def test_too_few_samples_for_a_batch_are_refused():
    refused(DataError, "memory: 3 samples do not fill a batch of 4 on every rank", InMemory(3, 4).train_dataloader)
