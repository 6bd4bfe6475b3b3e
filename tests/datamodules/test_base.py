"""Warnings and counts of replaced and redrawn videos."""

from types import SimpleNamespace

import pytest

from datamodules import base
from datamodules.base import SampledDataModule, SkippedVideos
from tests.helpers.training import InMemory, quiet_trainer


def enter(books, failures=(), redrawn=(), data=None):
    trainer = SimpleNamespace(datamodule=data or books.data)
    books.on_train_batch_start(trainer, None, {"failures": failures, "redrawn": redrawn}, 0)


def test_each_video_is_named_once_and_each_event_counted():
    data = SampledDataModule("videos", 4, 0, 0)
    books = SkippedVideos(data)
    with pytest.warns(UserWarning, match="replaced by another video: a.mp4: broken") as told:
        enter(books, failures=3 * ["a.mp4: broken"])
    assert len(told) == 1
    assert told[0].filename == base.__file__  # no file of Lightning
    with pytest.warns(UserWarning, match="resampled from the existing frames: b.avi: 9 frames expected"):
        enter(books, redrawn=["b.avi: 9 frames expected, 7 can be decoded"])
    enter(books, failures=["a.mp4: broken"], data=SampledDataModule("other", 4, 0, 0))  # a later fit's
    assert (data.skipped, books.redrawn) == ({"a.mp4": 3}, {"b.avi": 1})


@pytest.mark.filterwarnings("ignore:replaced by another video")
def test_too_many_are_warned_of_once_and_not_before_five():
    data = SampledDataModule("videos", 1, 0, 0)
    data.max_unusable = 0.4
    books = SkippedVideos(data)
    for _ in range(4):
        enter(books, failures=["a.mp4: broken"])
    with pytest.warns(UserWarning, match="TOO MANY UNUSABLE VIDEOS: 5 of 10 clips so far .* check-data videos"):
        enter(books, failures=["a.mp4: broken"])


def test_a_trainer_has_one_record_for_each_datamodule():
    trainer = quiet_trainer(max_steps=1)
    for data in (InMemory(8, 4), InMemory(8, 4)):
        trainer.datamodule = data
        data.trainer = trainer
        for _ in range(2):
            data.train_dataloader()
    assert len([callback for callback in trainer.callbacks if isinstance(callback, SkippedVideos)]) == 2
