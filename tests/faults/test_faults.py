"""Failures of a run: one clear line, and nothing good is lost.

A benchmark that takes longer than the process group waits: tests/vidcorr/benchmarks/test_ranks.py ("late").
"""

import pytest
import torch

from callbacks import LastCheckpoint, Stops, TrainingStopped
from tests.helpers.faults import harm, last, run, run_script, words
from tests.helpers.spoiled import Training, fit, the_line
from vidcorr.videos.files import FolderInUse, FolderLock

slow = pytest.mark.slow


@slow
def test_a_non_finite_loss_on_one_rank_ends_all_and_saves_nothing(video_folder, tmp_path):
    more = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    nan = harm("Spoil", step=5, rank=1)
    said = run_script(words("VFSMoCo", video_folder, tmp_path, *more, callbacks=(nan,), samples_per_epoch=20), 1)
    assert "step 5 (epoch 1, batch 0): the loss is nan" in said
    assert last(tmp_path)["global_step"] == 5


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
    command = words("VFSSimSiam", tmp_path, tmp_path, num_workers=1, samples_per_epoch=None)
    line = the_line(run(command, tmp_path, 1))
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


@slow
def test_a_folder_in_use_is_refused(video_folder, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    lock = FolderLock(tmp_path / "checkpoints")
    command = words("VFSSimSiam", video_folder, tmp_path, "--trainer.logger=false")
    line = the_line(run(command, tmp_path, 1))
    assert f"{tmp_path}/checkpoints is in use by another run, whose files" in line
    lock.release()
    run([*command, "--trainer.max_epochs=1"], tmp_path)
    assert (tmp_path / "checkpoints/last.ckpt").is_file()
