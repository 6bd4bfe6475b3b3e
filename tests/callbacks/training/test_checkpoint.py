"""Checkpoints are written as a unit: a failed write keeps the old file."""

import errno
import os

import pytest
import pytorch_lightning as pl
import torch

from callbacks import AtomicCheckpointIO, BestCheckpoint, DavisBenchmark, LastCheckpoint, Safeguards, TrainingStopped
from lightning_modules import VFSSimSiam
from tests.helpers.spoiled import Training, fit
from tests.helpers.training import TINY, loader, quiet_trainer


def test_non_finite_weights_are_not_saved(tmp_path):
    module = Training()
    module.weight = float("inf")
    with pytest.raises(TrainingStopped, match=r"step 6: 1 of 4 weights hold .* \(net\.conv\.weight, …\)"):
        fit(tmp_path, module, [Safeguards(), LastCheckpoint(4, tmp_path)])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 5  # before the epoch's last step


def test_what_is_said_of_the_checkpoint_where_a_run_fails(tmp_path, caplog):
    class Fail(pl.Callback):
        def __init__(self, batch):
            self.batch = batch

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == self.batch:
                raise RuntimeError("a mistake of the user's")

    caplog.set_level("INFO")
    for batch, said in ((0, ""), (3, f"{tmp_path}/last.ckpt holds step 3; --ckpt_path last resumes from there")):
        caplog.clear()
        with pytest.raises(RuntimeError, match="a mistake"):
            fit(tmp_path, Training(), [Safeguards(), LastCheckpoint(3, tmp_path), Fail(batch)])
        lines = [line for line in caplog.messages if "saved" in line or "last.ckpt" in line]
        assert lines == ([said] if said else [])  # nothing where no step could be lost


def test_a_failed_write_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)

    def full(content, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"x\.ckpt could not be written: No space left on device; the one before"):
        AtomicCheckpointIO().save_checkpoint({"a": 2}, path)
    monkeypatch.undo()
    assert AtomicCheckpointIO().load_checkpoint(path, weights_only=True) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.ckpt"]


@pytest.mark.slow
def test_a_monitor_without_a_stage_is_refused_in_a_training_and_heeded_nowhere_else(davis_root, tmp_path):
    for monitor in ("davis", "davis/J&F-Mean"):
        benchmark = DavisBenchmark(davis_root, stage=["res4", "res5"], changes={"radius": 2, "context": 1})
        options = {"default_root_dir": tmp_path, "max_epochs": 1, "enable_checkpointing": True}
        trainer = quiet_trainer(callbacks=[benchmark, BestCheckpoint(monitor)], **options)
        with pytest.raises(ValueError, match=r"logs no such score; .* davis/res[45]/J&F-Mean"):
            trainer.fit(VFSSimSiam(**TINY), loader(1, 1, frames=2, size=32))
    benchmark.limit_sequences = 1
    trainer.validate(VFSSimSiam(**TINY), verbose=False)
    assert "davis/res5/J&F-Mean" in benchmark.history[0]
