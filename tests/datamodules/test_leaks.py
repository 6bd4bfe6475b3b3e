"""Thousands of clips in one process: neither descriptors nor memory grow."""

import ctypes
import gc
import os
from pathlib import Path

import pytest

from datamodules import VideoDataModule
from tests.helpers.numbered_videos import write_folder, write_video


def descriptors() -> int:
    """Number of open files; what an earlier test of the process left to the garbage collector is closed first."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def resident() -> float:
    """MB, after what was freed has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads /proc")
def test_thousands_of_clips_leave_nothing_behind(tmp_path):
    """A decoder that is not closed keeps a descriptor and 2 MB: 2,300 clips would show it."""
    for number, name in enumerate(("a.mp4", "b.mkv", "c.avi", "d.ts")):
        write_video(tmp_path / name, 30, video=number, codec="mpeg4" if name == "c.avi" else "libx264")
    write_folder(tmp_path / "e", 10)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "broken.mp4").write_bytes(data[:-300])
    (tmp_path / "empty.mkv").write_bytes(b"")
    module = VideoDataModule(tmp_path, frames=4, size=32, batch_size=1, num_workers=0, validation_fraction=0.0)
    module.setup("fit")
    clips = module.train_dataloader().dataset
    before = None
    for epoch in range(400):
        for number in range(len(module.videos)):
            clips[epoch, number]
        if epoch == 70:
            before = descriptors(), resident()
    assert descriptors() == before[0]
    assert resident() < before[1] + 30
