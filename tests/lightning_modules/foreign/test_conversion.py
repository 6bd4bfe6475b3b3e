"""`vidcorr convert`: what becomes of each real key, what is refused, and that every place takes what it writes."""

import json

import pytest
import torch

from cli import main
from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor, module_from_checkpoint
from lightning_modules.foreign import FAMILIES
from lightning_modules.foreign.conversion import convert
from lightning_modules.tools import convert as tool
from tests.helpers.foreign import random_state, write

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
    assert {key.partition(".")[0] for key in report["unused"]} == unused
    module = module_from_checkpoint(tmp_path / "ours.ckpt")
    assert type(module) is kept
    ours = sorted(round(value.double().sum().item(), 4) for value in module.state_dict().values() if value.ndim)
    used = {key.removeprefix("module."): value for key, value in state.items()}
    theirs = [value for key, value in used.items() if key not in report["unused"] and value.ndim]
    assert ours == sorted(round(value.double().sum().item(), 4) for value in theirs)
    extractor = build_feature_extractor(tmp_path / "ours.ckpt")
    assert extractor.stride == stride
    with torch.inference_mode():
        assert extractor(torch.rand(1, 3, 32, 64)).shape == (1, channels, 32 // stride, 64 // stride)


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


@pytest.mark.slow
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


def test_the_command_line_knows_every_family():
    assert ("auto", *FAMILIES) == tool.KINDS
