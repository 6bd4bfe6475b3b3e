"""Failures of a run: one clear line, and nothing good is lost.

A benchmark that takes longer than the process group waits: tests/vidcorr/benchmarks/test_ranks.py ("late").
"""

import pytest
import torch

from callbacks import LastCheckpoint, Stops, TrainingStopped
from tests.helpers.faults import words
from tests.helpers.spoiled import Training, fit
from tests.helpers.words import refusal
from vidcorr.videos.files import FolderInUse, FolderLock

slow = pytest.mark.slow


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_bad_losses_replace_no_checkpoint(value, tmp_path):
    module = Training()
    module.loss = value
    with pytest.raises(TrainingStopped, match=r"step 3 \(epoch 0, batch 3\): the loss is"):
        fit(tmp_path, module, [Stops(), LastCheckpoint(3)])
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


@slow
def test_no_readable_video_is_one_line(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.mp4").write_bytes(b"no video")
    line = refusal(*words("VFSSimSiam", tmp_path, tmp_path, num_workers=1, samples_per_epoch=None))
    assert line.startswith("vidcorr: 10 items in a row could not be used: ")
    assert "Original" not in line


def test_a_folder_is_locked_against_this_process_too(tmp_path):
    first = FolderLock(tmp_path)
    for _ in range(2):  # the end of a refused lock frees nothing
        with pytest.raises(FolderInUse, match="is in use by another run, whose files"):
            FolderLock(tmp_path / "../" / tmp_path.name)
    first.release()
    first.release()
    FolderLock(tmp_path).release()
