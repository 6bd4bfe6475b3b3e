"""Checkpoints say what they are, need no other file, and outlive a release."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_modules import FrozenEncoder, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor, module_from_checkpoint
from lightning_modules.checkpoints import write_checkpoint
from lightning_modules.checkpoints.reading import FORMAT
from tests.helpers.refusal import refused

TINY = "tests.helpers.encoders:TinyResNet"

METHODS = {
    "VFSSimSiam": lambda: VFSSimSiam(TINY, projector_dim=8, predictor_dim=4),
    "VFSMoCo": lambda: VFSMoCo(TINY, projection_dim=8, queue_size=8, groups=1),
    "Liir": lambda: Liir(position_size=8, bank_frames=2, radius=2, warmup_epochs=0),
    "LinearProbe": lambda: LinearProbe(TINY, num_classes=2),
    "SiamFC": lambda: SiamFC(TINY, stage="res3", dilated=False, stride=8),
}

IMAGES = torch.rand(1, 3, 32, 32)


class Items(torch.utils.data.Dataset):
    """Two samples of what each method trains on."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {
            "clip": torch.rand(2, 3, 16, 16),
            "video_index": torch.tensor(index),
            "image": torch.rand(3, 32, 32),
            "label": torch.tensor(index),
            "exemplar": torch.rand(3, 32, 32),
            "search": torch.rand(3, 64, 64),
        }


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_a_checkpoint_of_plain_types(method, tmp_path):
    module = METHODS[method]()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(module, DataLoader(Items(), batch_size=2))
    (path,) = tmp_path.glob("checkpoints/*.ckpt")
    content = torch.load(path, weights_only=True)
    assert content["optimizer_states"]
    assert content["vidcorr"]["class_path"].endswith(f".{method}")
    assert content["vidcorr"]["format"] == FORMAT
    again = module_from_checkpoint(path)
    assert type(again) is type(module)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items())
    assert not again.training


def over(path):
    """Modules whose encoder comes out of a checkpoint."""
    return {
        "FrozenEncoder": FrozenEncoder(str(path)),
        "LinearProbe": LinearProbe(str(path), num_classes=2),
        "SiamFC": SiamFC(str(path), stage="res3", dilated=False, stride=8),
    }


@pytest.mark.parametrize("kind", ["FrozenEncoder", "LinearProbe", "SiamFC"])
def test_a_probe_needs_nothing_but_its_own_checkpoint(kind, tmp_path):
    first, second = tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    write_checkpoint(METHODS["VFSSimSiam"](), first)
    write_checkpoint(FrozenEncoder(str(first), stage="res5"), second)  # one more between
    module = over(second)[kind]
    write_checkpoint(module, tmp_path / "probe.ckpt")
    first.unlink()
    second.unlink()
    again = module_from_checkpoint(tmp_path / "probe.ckpt")
    view, expected = (m.feature_extractor() if kind != "LinearProbe" else m.backbone for m in (again, module))
    assert torch.equal(view(IMAGES), expected(IMAGES))


@pytest.mark.parametrize("kind", [VFSSimSiam, VFSMoCo])
def test_training_may_begin_with_a_checkpoint(kind, tmp_path):
    first, start = METHODS["VFSSimSiam"](), tmp_path / "start.ckpt"
    write_checkpoint(first, start)
    module = kind(str(start))
    assert torch.equal(module.backbone.conv1.weight, first.backbone.conv1.weight)
    assert module.backbone.training
    write_checkpoint(module, tmp_path / "own.ckpt")
    start.unlink()
    assert torch.equal(module_from_checkpoint(tmp_path / "own.ckpt").backbone.conv1.weight, first.backbone.conv1.weight)
    write_checkpoint(METHODS["Liir"](), tmp_path / "liir.ckpt")
    refused(ValueError, "Liir has no full network", kind, str(tmp_path / "liir.ckpt"))


def changed(path, **changes):
    write_checkpoint(METHODS["VFSSimSiam"](), path)
    content = torch.load(path, weights_only=True)
    content["vidcorr"] |= changes
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99, "version": "9.1"}, r"written by vidcorr 9\.1 in format 99; this is vidcorr .*: update it"),
        ({"class_path": "subprocess.Popen"}, r"add --allow subprocess\.Popen"),
        ({"class_path": "lightning_modules.VFSMoCo"}, "VFSMoCo has no argument 'p"),
        ({"format": -1}, "its format must be a number"),
    ],
)
def test_checkpoints_that_do_not_load_say_why(changes, message, tmp_path):
    assert refused(ValueError, message, lambda: build_feature_extractor(changed(tmp_path / "x.ckpt", **changes)))
