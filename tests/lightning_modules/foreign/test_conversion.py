"""Weights of other projects, by their real keys: what becomes of each, and that the features are theirs."""

import pytest
import torch

from lightning_modules import FrozenEncoder, Liir, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor, module_from_checkpoint
from lightning_modules.foreign.conversion import convert
from tests.helpers.foreign import (
    random_state,
    write,
)

KINDS = {
    # kind: class, channels of the default stage, its stride, prefixes of what is not used
    "vfs_r18": (VFSSimSiam, 256, 8, set()),
    "crw_r18": (FrozenEncoder, 256, 8, {"selfsim_fc"}),
    "liir": (Liir, 64, 4, {"conv_semantic", "conv_semantic_k", "colorizer"}),
    "mast": (Liir, 64, 4, {"feature_extraction"}),  # layer4 and fc, which lead nowhere
    "moco_v2_r50": (FrozenEncoder, 1024, 8, {"encoder_q"}),  # fc, the projector
    "vfs_r50": (VFSSimSiam, 1024, 8, set()),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind == "vfs_r50" else kind for kind in KINDS]
)
def test_real_keys_find_their_places(kind, tmp_path):
    kept, channels, stride, unused = KINDS[kind]
    state = random_state(kind)
    report = convert(write(tmp_path / "foreign.pth", state), tmp_path / "ours.ckpt")
    assert {key.partition(".")[0] for key in report.converted.unused} == unused
    assert len(report.converted.state) + len(report.converted.unused) == len(state)
    module = module_from_checkpoint(tmp_path / "ours.ckpt")
    assert type(module) is kept
    ours = sorted(round(value.double().sum().item(), 4) for value in module.state_dict().values() if value.ndim)
    used = {key.removeprefix("module."): value for key, value in state.items()}
    theirs = [value for key, value in used.items() if key not in report.converted.unused and value.ndim]
    assert ours == sorted(round(value.double().sum().item(), 4) for value in theirs)
    extractor = build_feature_extractor(tmp_path / "ours.ckpt")
    assert extractor.stride == stride
    with torch.inference_mode():
        assert extractor(torch.rand(1, 3, 32, 64)).shape == (1, channels, 32 // stride, 64 // stride)
