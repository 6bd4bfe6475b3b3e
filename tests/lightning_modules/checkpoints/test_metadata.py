"""The metadata of a checkpoint: foreign and damaged files are told apart from ours."""

import pytest
import torch

from lightning_modules import LinearProbe
from lightning_modules.backbones import module_from_checkpoint
from lightning_modules.checkpoints import ForeignCheckpoint, write_checkpoint


def test_foreign_and_damaged_files_are_told_apart_from_ours(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ForeignCheckpoint, match="vidcorr convert"):
        module_from_checkpoint(tmp_path / "foreign.ckpt")
    write_checkpoint(LinearProbe("tests.helpers.encoders:TinyResNet", num_classes=2), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    for half in (b"", b"PK\3\4half", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "half.ckpt").write_bytes(half)
        with pytest.raises(ValueError, match=r"half\.ckpt: .*damaged, or foreign"):
            module_from_checkpoint(tmp_path / "half.ckpt")
