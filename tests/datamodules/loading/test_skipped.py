"""Bookkeeping of replaced and redrawn videos: counted, named once, warned of when they are too many."""

from collections import Counter
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from datamodules.loading.skipped import SkippedVideos, too_many


class Logged(pl.LightningModule):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, float] = {}

    def log(self, name: str, value: Any, **_: Any) -> None:  # type: ignore[override]
        self.values[name] = float(value)


def enter(books: SkippedVideos, **batch: Any) -> None:
    trainer: Any = None
    books.on_train_batch_start(trainer, Logged(), batch, 0)


def test_each_video_is_named_once_and_each_event_counted() -> None:
    counts: Counter[str] = Counter()
    books = SkippedVideos(counts)
    index = torch.zeros(2)
    with pytest.warns(UserWarning, match="replaced by another video: a.mp4: broken") as told:
        enter(books, failures=["a.mp4: broken", "a.mp4: broken"], video_index=index)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="resampled from the frames that are there: b.avi: 9 frames expected"):
        enter(books, failures=[], redrawn=["b.avi: 9 frames expected, 7 can be decoded"], video_index=index)
    enter(books, failures=["a.mp4: broken"], video_index=index)
    module, trainer = Logged(), None
    books.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    assert counts == {"a.mp4": 3}
    assert module.values == {"data/skipped_videos": 3.0, "data/redrawn_clips": 1.0}


@pytest.mark.filterwarnings("ignore:replaced by another video")
def test_too_many_are_warned_of_once_and_not_before_five() -> None:
    books = SkippedVideos(Counter(), max_unusable=0.5, source="videos")
    for _ in range(4):
        enter(books, failures=["a.mp4: broken"], video_index=torch.zeros(0))
    with pytest.warns(UserWarning, match="TOO MANY UNUSABLE VIDEOS: 5 of 5 clips so far .* check-data videos"):
        enter(books, failures=["a.mp4: broken"], video_index=torch.zeros(0))


def test_unusable_shards_are_not_sent_to_check_data(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / "chunk-0-0.bin").write_bytes(b"")
    assert "on the videos that were packed" in too_many("3 of 5 clips", str(tmp_path))
    assert f"check-data {tmp_path / 'other'}`" in too_many("3 of 5 clips", str(tmp_path / "other"))
