"""Rules from foreign names to ours: nothing is left over, missing or of another size."""

import pytest
import torch

from lightning_modules.backbones import module_from_checkpoint
from lightning_modules.foreign.conversion import convert
from tests.helpers.foreign import (
    random_state,
    write,
)


def test_unknown_missing_and_misshapen_weights_are_named(tmp_path):
    state, path = random_state("crw_r18"), tmp_path / "crw.pth"
    write(path, state | {"teleporter.weight": torch.zeros(1)}, "model")
    with pytest.raises(ValueError, match=r"crw\.pth: taken for crw: no rule says what these are: teleporter\.weight"):
        convert(path, tmp_path / "ours.ckpt")
    lacking = {name: value for name, value in state.items() if name != "encoder.model.layer2.1.bn2.bias"}
    write(path, lacking, "model")
    with pytest.raises(ValueError, match=r"missing: encoder\.network\.layer2\.1\.bn2\.bias$"):
        convert(path, tmp_path / "ours.ckpt")
    write(path, state | {"encoder.model.conv1.weight": torch.zeros(64, 1, 7, 7)}, "model")
    with pytest.raises(ValueError, match=r"conv1\.weight \(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)"):
        convert(path, tmp_path / "ours.ckpt")
    assert not (tmp_path / "ours.ckpt").exists()


def test_counts_that_old_torch_did_not_save_are_filled_in(tmp_path):
    state = {name: value for name, value in random_state("crw_r18").items() if "num_batches_tracked" not in name}
    convert(write(tmp_path / "crw.pth", state, "model"), tmp_path / "ours.ckpt")
    assert module_from_checkpoint(tmp_path / "ours.ckpt").encoder.network.bn1.num_batches_tracked == 0
