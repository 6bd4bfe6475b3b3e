"""Weights of other projects, by their real keys: what becomes of each, and that the features are theirs."""

import json
from collections import OrderedDict

import pytest
import torch

from cli import main
from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor, module_from_checkpoint
from lightning_modules.tools.convert import convert
from tests.helpers.foreign import (
    random_state,
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


def write(path, state, entry="state_dict", **beside):
    torch.save({entry: OrderedDict(state), **beside}, path)
    return path


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


def test_every_place_takes_what_the_command_writes(davis_root, tmp_path, capsys):
    foreign, ours = write(tmp_path / "vfs.pth", random_state("vfs_r18")), tmp_path / "ours.ckpt"
    main(["convert", str(foreign), str(ours)])
    printed = capsys.readouterr().out
    for told in ("family", "vfs", "VFSSimSiam", "backbone", "projector", "predictor", str(ours)):
        assert told in printed
    common = [
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
        "--trainer.callbacks+=DavisBenchmark",
        f"--trainer.callbacks.root={davis_root}",
        '--trainer.callbacks.changes={"radius": 3, "context": 2}',
        "--trainer.callbacks.stage=res4",
    ]
    main(["validate", f"--ckpt_path={ours}", *common, f"--trainer.callbacks.output_dir={tmp_path / 'a'}"])
    frozen = ["--model=FrozenEncoder", f"--model.spec={ours}"]
    main(["validate", *frozen, *common, f"--trainer.callbacks.output_dir={tmp_path / 'b'}"])
    a, b = (json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in "ab")
    assert a == b
    assert LinearProbe(str(ours), num_classes=2).backbone.stem[0].weight.shape == (64, 3, 7, 7)


def test_a_mistake_is_one_line(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(tmp_path / "nowhere.pth"), str(tmp_path / "ours.ckpt")])
    assert str(stopped.value).startswith("vidcorr: ")
    assert "no such file" in str(stopped.value)
