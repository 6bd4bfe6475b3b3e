"""Checkpoints of all methods give their features, and `predict` follows a mask, in a process without Lightning too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.method_steps import METHODS, VIT, tiny
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr import callbacks, datamodules, lightning_modules
from vidcorr.backbones import weights_digest
from vidcorr.backbones.model_export import export
from vidcorr.lightning_modules import FrozenEncoder

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
for name in ("pytorch_lightning", "lightning_fabric", "lightning", "torchmetrics", "timm"):
    sys.modules[name] = None
from vidcorr.commands import main
shell, root, folder, *paths = sys.argv[1:]
frames, masks = (f"{root}/{kind}/480p/synthetic-000" for kind in ("JPEGImages", "Annotations"))
main(["predict", frames, f"--mask={masks}/00000.png", "--end=2", f"--output={folder}/predicted"])
del sys.modules["timm"]  # a checkpoint below needs it
import vidcorr
from vidcorr.backbones import weights_digest
from vidcorr.backbones.files import trust
everything = [getattr(vidcorr, name) for name in vidcorr.__all__ if name not in shell.split()]
trust.know("tests.helpers.encoders:TinyResNet", "tests.helpers.encoders:tiny_vit")
for path in paths:
    print(path, weights_digest(vidcorr.build_feature_extractor(path)))
result = vidcorr.DavisBenchmark(root, limit_sequences=1, changes={"radius": 3, "context": 2}).evaluate(path, folder)
assert vidcorr.Result.load(folder) == result
"""


@pytest.mark.slow
def test_networks_and_checkpoints_are_used_without_lightning(tmp_path, davis_root):
    modules = {name: tiny(name) for name in METHODS if name not in ("LinearProbe", "SiamFC", "CoSettle")}
    modules |= {"vit": FrozenEncoder(VIT), "raw_colour": FrozenEncoder("raw_colour")}
    expected = []
    for name, module in modules.items():
        write_checkpoint(module, tmp_path / f"{name}.ckpt")
        expected.append(f"{tmp_path / name}.ckpt {weights_digest(module.feature_extractor())}")
    paths = [line.partition(" ")[0] for line in expected]
    shell = [*callbacks.__all__, *datamodules.__all__, *lightning_modules.__all__]
    words = [sys.executable, "-c", SCRIPT, " ".join(shell), str(davis_root), str(tmp_path / "out"), *paths]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stdout.splitlines() if line.startswith(str(tmp_path))] == expected
    assert json.loads((tmp_path / "out/predicted/prediction.json").read_text())["model"] == "vidcorr-r18"


def test_a_module_with_features_of_its_own_needs_its_class(tmp_path):
    for module in (tiny("VFSSimSiam"), tiny("Liir"), FrozenEncoder("raw_colour")):
        assert module.encoder_in_checkpoint()
        module.__class__ = type("Own", (type(module),), {"feature_extractor": None})
        assert module.encoder_in_checkpoint() is None
    probe = tiny("LinearProbe")
    assert probe.encoder_in_checkpoint() is None
    write_checkpoint(probe, tmp_path / "probe.ckpt")
    refused(ValueError, "holds no whole network", export, tmp_path / "probe.ckpt", tmp_path / "probe.safetensors")
