"""Base of the methods: halves of clips, batches that are refused, held-out data, checkpoints."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from tests.helpers.tiny import TINY, loader


def test_odd_clip_is_refused():
    with pytest.raises(ValueError, match="clip of 3 frames"):
        VFSSimSiam(**TINY).step({"clip": torch.rand(2, 3, 3, 32, 32)})


def test_validation_skips_the_empty_batch_and_logs_the_loss_of_a_real_one(tmp_path):
    module = VFSSimSiam(**TINY)
    trainer = pl.Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", enable_progress_bar=False)
    assert trainer.validate(module, DataLoader([{}], batch_size=None), verbose=False) == [{}]
    (scores,) = trainer.validate(module, loader(4), verbose=False)
    assert 0 <= scores["val/loss"] <= 4


@pytest.mark.parametrize("kind", [VFSSimSiam, VFSMoCo, Liir])
def test_bytes_of_a_loader_of_ones_own_are_refused(kind, tmp_path):
    clips = [{"clip": torch.zeros(4, 3, 32, 32, dtype=torch.uint8), "video_index": i} for i in range(4)]
    trainer = pl.Trainer(default_root_dir=tmp_path, max_steps=1, accelerator="cpu", logger=False)
    with pytest.raises(ValueError, match=r"clip is uint8: give float RGB in \[0, 1\]"):
        trainer.fit(kind(), DataLoader(clips, batch_size=4))
