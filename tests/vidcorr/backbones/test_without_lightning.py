"""Checkpoints of all methods give their features, and `predict` follows a mask, in a process without Lightning too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lightning_modules
from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from tests.helpers.method_steps import METHODS, arguments_of
from tests.helpers.refusal import refused
from tests.helpers.words import NETWORK
from vidcorr.backbones import build_feature_extractor, weights_digest
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.export import export

CASES = {name: arguments_of(name) for name in METHODS if name != "LinearProbe"} | {
    "FrozenEncoder": {"spec": NETWORK, "stage": "res3"},
    "raw_colour": {"spec": "raw_colour", "stride": 4},
    "timm": {"spec": "timm:vit_tiny_patch16_224", "stage": "block2", "mean": (0.1, 0.2, 0.3)},
}
"""Name of a method, or of another case of `FrozenEncoder` → arguments."""
OWN_FEATURES = {"SiamFC", "CoSettle"}
"""Methods whose features need their class, and Lightning."""
ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
for name in ("pytorch_lightning", "lightning_fabric", "lightning", "lightning_modules", "torchmetrics", "timm"):
    sys.modules[name] = None
from vidcorr.commands import main
root, folder, *paths = sys.argv[1:]
frames, masks = (f"{root}/{kind}/480p/synthetic-000" for kind in ("JPEGImages", "Annotations"))
main(["predict", frames, f"--mask={masks}/00000.png", "--end=2", f"--output={folder}/predicted"])
del sys.modules["timm"]  # a checkpoint below needs it
import torch
import vidcorr
from vidcorr import DavisBenchmark, Result, build_feature_extractor
from vidcorr.backbones import trust, weights_digest
trust.allow_named(["tests.helpers.encoders:TinyResNet", "tests.helpers.encoders:tiny_vit"])
for name in ("Badja", "Jhmdb", "Otb", "TapVid", "Vip", "Vos", "YoutubeVos"):
    getattr(vidcorr, f"{name}Benchmark")
for path in paths:
    extractor = build_feature_extractor(path)
    print(path, weights_digest(extractor))
    result = DavisBenchmark(root, limit_sequences=1, changes={"radius": 3, "context": 2}).evaluate(path, folder)
    assert Result.load(folder) == result
    assert 0 <= result.scores["J&F-Mean"] <= 1
    assert result.network.name == path
"""


def made(name):
    torch.manual_seed(1)
    return getattr(lightning_modules, name, FrozenEncoder)(**CASES[name])


@pytest.mark.parametrize("name", ["FrozenEncoder", "raw_colour", "timm"])
def test_a_checkpoint_gives_the_view_of_its_encoder(name, tmp_path):
    """Those of methods: tests/lightning_modules/test_methods.py."""
    expected = made(name).feature_extractor()
    write_checkpoint(made(name), tmp_path / "own.ckpt")
    found, images = build_feature_extractor(tmp_path / "own.ckpt"), torch.rand(1, 3, 64, 96)
    assert torch.equal(found(images), expected(images))
    assert (found.stage, found.stride) == (expected.stage, expected.stride)
    assert found.described == expected.described.with_weights_of("own.ckpt")


@pytest.mark.slow
def test_networks_and_checkpoints_are_used_without_lightning(tmp_path, davis_root):
    expected = []
    for name in CASES.keys() - OWN_FEATURES:
        module = made(name)
        path = tmp_path / f"{name}.ckpt"
        write_checkpoint(module, path)
        expected.append(f"{path} {weights_digest(module.feature_extractor())}")
    paths = [line.partition(" ")[0] for line in expected]
    words = [sys.executable, "-c", SCRIPT, str(davis_root), str(tmp_path / "out"), *paths]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = [line for line in done.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert printed == expected
    assert json.loads((tmp_path / "out/predicted/prediction.json").read_text())["model"] == "vidcorr-r18"


def test_a_module_with_features_of_its_own_needs_its_class(tmp_path):
    class Other(VFSSimSiam):
        def feature_extractor(self, stage=None, stride=None, **options):
            return super().feature_extractor("res2", 4)

    assert made("VFSSimSiam").encoder_in_checkpoint() is not None
    assert Other(**CASES["VFSSimSiam"]).encoder_in_checkpoint() is None
    for method, name in ((Liir, "Liir"), (FrozenEncoder, "raw_colour")):
        own = type("Own", (method,), {"feature_extractor": Other.feature_extractor})
        assert own(**CASES[name]).encoder_in_checkpoint() is None
    probe = LinearProbe(NETWORK, 2)
    assert probe.encoder_in_checkpoint() is None
    write_checkpoint(probe, tmp_path / "probe.ckpt")
    refused(ValueError, "holds no whole network", export, tmp_path / "probe.ckpt", tmp_path / "probe.safetensors")
