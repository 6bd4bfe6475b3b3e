"""Failures of a run: one clear line, and nothing good is lost.

A benchmark that takes longer than the process group waits: tests/vidcorr/benchmarks/test_ranks.py ("late").
"""

import re
import shutil

import pytest
import torch

from callbacks import LastCheckpoint, Stops, TrainingStopped
from tests.helpers.faults import harm, last, run, run_script, words
from tests.helpers.spoiled import Training, fit, the_line
from vidcorr.videos.files import FolderInUse, FolderLock

slow = pytest.mark.slow


@slow
def test_a_non_finite_loss_on_one_rank_ends_all_and_names_the_videos(video_folder, tmp_path):
    more = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    nan = harm("Spoil", step=5, rank=1)
    said = run_script(words("VFSMoCo", video_folder, tmp_path, *more, callbacks=(nan,), samples_per_epoch=20), 1)
    videos = re.search(r"step 5 \(epoch 1, batch 0\): the loss is nan; videos of the batch: (.*)", said)[1]
    # both ranks name the videos, and their lines may run into one
    assert len(set(re.findall(re.escape(str(video_folder)) + r"/\w+\.mp4", videos))) == 2
    assert last(tmp_path)["global_step"] == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_bad_losses_stop_before_the_weights_change(value, tmp_path):
    module = Training()
    module.loss = value
    with pytest.raises(TrainingStopped, match=r"step 3 \(epoch 0, batch 3\): .*: index 5, index 9"):
        fit(tmp_path, module, [Stops(), LastCheckpoint(3)])
    assert module.net.conv.weight.isfinite().all()
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


@slow
def test_a_worker_that_is_killed(video_folder, tmp_path):
    kill = harm("KillWorker", step=7)
    line = the_line(run(words("VFSSimSiam", video_folder, tmp_path, callbacks=(kill,), num_workers=1), tmp_path, 1))
    assert "a worker of the data loader died" in line
    assert "lower data.num_workers" in line
    assert last(tmp_path)["global_step"] >= 8  # the step is finished first
    run(words("VFSSimSiam", video_folder, tmp_path, "--ckpt_path=last"), tmp_path)


@slow
@pytest.mark.parametrize("how", ["vanish", "truncate"])
def test_files_that_go_bad_during_a_run_are_replaced_and_named(how, video_folder, tmp_path):
    source = shutil.copytree(video_folder, tmp_path / "videos")
    victim = sorted(source.glob("*.mp4"))[2]
    spoiler = harm("SpoilFile", path=str(victim), how=how, step=2)
    said = run(words("VFSSimSiam", source, tmp_path, callbacks=(spoiler,), num_workers=1), tmp_path)
    assert said.count(f"replaced by another video: {victim}") == 1


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
