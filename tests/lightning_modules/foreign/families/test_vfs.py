"""VFS's released files: features there and back, heads of another form, the protocol of its ResNet-50."""

from pathlib import Path

import torch

from lightning_modules import FrozenEncoder
from lightning_modules.backbones import module_from_checkpoint
from lightning_modules.foreign import FAMILIES, read_foreign
from lightning_modules.foreign.conversion import convert
from lightning_modules.foreign.safetensors_export import export
from tests.helpers.foreign import (
    features,
    keys_of,
    lively_resnet18,
    mm_style,
    random_state,
    write,
)


def test_vfs_to_torchvision_and_back_gives_the_same_features(tmp_path):
    network, images = lively_resnet18(), torch.rand(1, 3, 32, 48).double()
    heads = {name: value for name, value in random_state("vfs_r18").items() if name.startswith("img_head.")}
    foreign = write(tmp_path / "vfs.pth", mm_style(network.state_dict()) | heads, meta={"epoch": 100})
    assert set(mm_style(network.state_dict()) | heads) == set(keys_of("vfs_r18"))
    convert(foreign, tmp_path / "vfs.ckpt")
    exported = tmp_path / "vfs.safetensors"
    export(tmp_path / "vfs.ckpt", exported)
    plain = lively_resnet18()
    plain.load_state_dict(read_foreign(exported).state)
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    convert(tmp_path / "plain.pth", tmp_path / "again.ckpt")
    convert(exported, tmp_path / "exported.ckpt")
    modules = [module_from_checkpoint(tmp_path / name).double() for name in ("vfs.ckpt", "again.ckpt", "exported.ckpt")]
    network.double()  # so that the order of sums does not matter
    with torch.inference_mode():
        for number, stage in enumerate(("res2", "res3", "res4", "res5"), start=1):
            expected = features(network, images, number)
            for module in modules:
                found = module.feature_extractor(stage, 32).double()(images)
                torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_heads_of_another_form_are_left_out_by_name(tmp_path):
    state = random_state("vfs_r18")
    for name in [name for name in state if "projection_fcs.6" in name or "projection_fcs.7" in name]:
        del state[name]
    report = convert(write(tmp_path / "vfs.pth", state), tmp_path / "ours.ckpt")
    assert type(module_from_checkpoint(tmp_path / "ours.ckpt")) is FrozenEncoder
    assert "img_head.predictor_fcs.0.weight" in report.converted.unused
    assert "img_head" in str(report)


def test_the_official_r50_is_measured_by_its_own_protocol(tmp_path):
    for kind, expected in (("vfs_r18", "davis.yaml"), ("vfs_r50", "davis_vfs_r50.yaml")):
        converted = FAMILIES["vfs"].convert(random_state(kind), None)
        assert converted.measured_by.endswith(f"configs/benchmarks/{expected}")
        assert Path(__file__).parents[4].joinpath("configs/benchmarks", expected).is_file()
