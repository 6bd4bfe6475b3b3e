"""Checkpoints say what they are, need no other file, and outlive a release."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_modules import FrozenEncoder, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor, build_network, module_from_checkpoint
from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.checkpoints import reading as checkpoints
from lightning_modules.tools.convert import write_checkpoint

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
    assert content["vidcorr"]["format"] == checkpoints.FORMAT
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


def test_weights_of_the_library_are_not_fetched_again(tmp_path):
    module = FrozenEncoder(TINY)
    module.hparams["pretrained"] = True  # as it was made where the library's weights were at hand
    write_checkpoint(module, tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content["hyper_parameters"]["pretrained"] is True
    write_checkpoint(LinearProbe(TINY, 2), tmp_path / "b.ckpt")
    assert torch.load(tmp_path / "b.ckpt", weights_only=True)["hyper_parameters"]["pretrained"] is False


def test_an_earlier_format_is_brought_forward_step_by_step(tmp_path, monkeypatch):
    def renamed_width(checkpoint):
        checkpoint["hyper_parameters"]["projector_dim"] = checkpoint["hyper_parameters"].pop("width")

    def renamed_projector(checkpoint):
        state = checkpoint["state_dict"]
        for name in [name for name in state if name.startswith("projection.")]:
            state[name.replace("projection.", "projector.")] = state.pop(name)

    module, path = METHODS["VFSSimSiam"](), tmp_path / "old.ckpt"
    write_checkpoint(module, path)
    content = torch.load(path, weights_only=True)
    del content["vidcorr"]["format"]  # as before there were numbers
    content["hyper_parameters"]["width"] = content["hyper_parameters"].pop("projector_dim")
    content["state_dict"] = {
        name.replace("projector.", "projection."): value for name, value in content["state_dict"].items()
    }
    torch.save(content, path)
    monkeypatch.setattr(checkpoints, "FORMAT", 3)
    monkeypatch.setattr(checkpoints, "MIGRATIONS", {1: renamed_width, 2: renamed_projector})
    assert read_checkpoint(path)["vidcorr"]["format"] == 3
    again = module_from_checkpoint(path)
    assert torch.equal(again.projector[0].weight, module.projector[0].weight)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    other = METHODS["VFSSimSiam"]()
    trainer.validate(other, ckpt_path=path, verbose=False)
    assert torch.equal(other.projector[0].weight, module.projector[0].weight)


def test_what_cannot_be_brought_forward_says_what_changed(tmp_path, monkeypatch):
    def gone(checkpoint):
        raise ValueError("heads have another form since 0.3: convert the backbone by `vidcorr export` of 0.2")

    write_checkpoint(METHODS["VFSSimSiam"](), tmp_path / "old.ckpt")
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    monkeypatch.setattr(checkpoints, "MIGRATIONS", {1: gone})
    with pytest.raises(ValueError, match=r"old\.ckpt: heads have another form since 0\.3"):
        read_checkpoint(tmp_path / "old.ckpt")


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
    with pytest.raises(ValueError, match="Liir has no whole network"):
        kind(str(tmp_path / "liir.ckpt"))


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
        ({"class_path": "nowhere.Method"}, r"class nowhere\.Method cannot be imported"),
        ({"class_path": "subprocess.Popen"}, r"class subprocess\.Popen is no torch\.nn\.Module"),
        ({"class_path": "lightning_modules.VFSMoCo"}, "not made with"),
    ],
)
def test_checkpoints_that_do_not_load_say_why(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build_feature_extractor(changed(tmp_path / "x.ckpt", **changes))


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "x.ckpt"
    write_checkpoint(METHODS["VFSSimSiam"](), path)
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["predictor.0.bias"]
    content["state_dict"] |= {"extra.weight": torch.zeros(1), "backbone.bn1.weight": torch.zeros(3)}
    torch.save(content, path)
    with pytest.raises(
        ValueError, match=r"missing: predictor\.0\.bias; unknown: extra\.weight; .*\(3,\) instead of \(8,\)"
    ):
        module_from_checkpoint(path)


def test_foreign_and_damaged_files_are_told_apart_from_ours(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    with pytest.raises(checkpoints.ForeignCheckpoint, match="vidcorr convert"):
        module_from_checkpoint(tmp_path / "foreign.ckpt")
    write_checkpoint(METHODS["LinearProbe"](), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    for half in (b"", b"PK\3\4half", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "half.ckpt").write_bytes(half)
        with pytest.raises(ValueError, match=r"half\.ckpt: .*damaged, or foreign"):
            module_from_checkpoint(tmp_path / "half.ckpt")


def test_a_module_without_arguments_needs_no_hyper_parameters(tmp_path):
    write_checkpoint(METHODS["VFSSimSiam"](), tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["vidcorr"]["class_path"] = "tests.helpers.encoders.TinyResNet"
    content["state_dict"] = build_network(TINY).state_dict()
    del content["hyper_parameters"]  # as Lightning writes it
    torch.save(content, tmp_path / "a.ckpt")
    assert type(module_from_checkpoint(tmp_path / "a.ckpt")).__name__ == "TinyResNet"


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    def write(text, error=None):
        with checkpoints.whole(path) as half:
            half.write_text(text)
            if error:
                raise error

    path = tmp_path / "new" / "a.ckpt"
    write("before")
    with pytest.raises(OSError, match="full"):
        write("ha", OSError("full"))
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
