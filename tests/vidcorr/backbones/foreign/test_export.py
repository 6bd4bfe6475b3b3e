"""Weights out: what torchvision and timm load has the features of the module that it came from."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from cli import main
from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from tests.helpers.foreign import features
from tests.helpers.refusal import refused
from vidcorr.backbones import build_network, module_from_checkpoint
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.foreign.conversion import account, convert
from vidcorr.backbones.foreign.safetensors_export import export

pytestmark = pytest.mark.usefixtures("no_gradients")


def loaded(load):
    """The network that the printed lines make."""
    names = {}
    exec(load, names)
    return names["network"].eval().double()


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_loads_it_and_has_the_same_features(library, tmp_path):
    module = VFSSimSiam(f"{library}:resnet18", projector_dim=8, predictor_dim=4)
    write_checkpoint(module, tmp_path / "vfs.ckpt")
    network = loaded(export(tmp_path / "vfs.ckpt", tmp_path / "out.safetensors"))
    assert type(network).__module__.startswith(library)
    if library == "timm":
        network.relu = network.act1
    images = torch.rand(1, 3, 32, 32).double()
    reference = module.eval().double()
    for number, stage in ((3, "res4"), (4, "res5")):
        expected = reference.feature_extractor(stage, 32).double()(images)
        torch.testing.assert_close(features(network, images, number), expected, rtol=1e-6, atol=1e-6)


def test_liir_goes_out_under_its_own_names(tmp_path):
    module = Liir(position="2dape", position_size=8, bank={"frames": 0})
    torch.nn.init.normal_(module.backbone.position.rows)
    write_checkpoint(module, tmp_path / "liir.ckpt")
    network = loaded(export(tmp_path / "liir.ckpt", tmp_path / "liir.safetensors"))
    torch.testing.assert_close(network.float().state_dict(), module.backbone.state_dict(), rtol=0, atol=0)
    message = "use the checkpoint that it was exported from"
    refused(ValueError, message, convert, tmp_path / "liir.safetensors", tmp_path / "again.ckpt")


@pytest.mark.slow
def test_a_network_of_ones_own_goes_out_and_comes_in_again(tmp_path):
    spec = "vidcorr.backbones:crw_resnet18"
    module = FrozenEncoder(spec)
    write_checkpoint(module, tmp_path / "crw.ckpt")
    load = export(tmp_path / "crw.ckpt", tmp_path / "crw.safetensors")
    assert loaded(load).conv1.padding_mode == "reflect"
    convert(tmp_path / "crw.safetensors", tmp_path / "again.ckpt")
    again = module_from_checkpoint(tmp_path / "again.ckpt")
    assert again.encoder.network.conv1.padding_mode == "reflect"
    assert torch.equal(again.encoder.network.conv1.weight, module.encoder.network.conv1.weight)


@pytest.mark.slow
def test_a_normalisation_unlike_the_librarys_comes_back(tmp_path):
    module = VFSSimSiam("timm:vit_tiny_patch16_224", projector_dim=8, predictor_dim=4).eval()
    write_checkpoint(module, tmp_path / "vit.ckpt")  # VFS normalises by ImageNet's, the library's network by 0.5
    export(tmp_path / "vit.ckpt", tmp_path / "vit.safetensors")
    report = convert(tmp_path / "vit.safetensors", tmp_path / "again.ckpt", kind="timm")
    assert "mean=(0.485, 0.456, 0.406)" in account(report)
    images, again = torch.rand(1, 3, 224, 224), module_from_checkpoint(tmp_path / "again.ckpt")
    expected, found = (m.eval().feature_extractor(None, None)(images) for m in (module, again))
    torch.testing.assert_close(found, expected)
    other = FrozenEncoder("timm:vit_tiny_patch16_224", std=(1, 1, 1)).feature_extractor()
    assert other.normalise.std.unique().tolist() == [1.0]
    assert other.normalise.mean.unique().tolist() == [0.5]
    refused(ValueError, "normalises RGB itself", FrozenEncoder, str(tmp_path / "vit.ckpt"), mean=(0, 0, 0))


@pytest.mark.slow
def test_mistakes_are_named(vfs, tmp_path):
    write_checkpoint(LinearProbe(str(vfs), 2, stage="res3", stride=8), tmp_path / "part.ckpt")
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "raw.ckpt")
    for source, output, message in [
        ("part.ckpt", "out.safetensors", "holds a view of its encoder; export the encoder's own"),
        ("raw.ckpt", "out.safetensors", "no network that has a name"),
        ("raw.ckpt", "out.bin", r"must end with \.safetensors"),
    ]:
        refused(ValueError, message, export, tmp_path / source, tmp_path / output)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_the_file_says_what_it_is(vfs, tmp_path, capsys):
    main(["export", str(vfs), str(tmp_path / "out.safetensors")])
    load = capsys.readouterr().out.strip()
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        about = file.metadata()
    assert about["load"] == load
    assert (about["mean"], about["std"]) == ("0.485, 0.456, 0.406", "0.229, 0.224, 0.225")
    assert set(about) == {"format", "method", "vidcorr", "architecture", "mean", "std", "load"}
    assert load_file(tmp_path / "out.safetensors").keys() == build_network("torchvision:resnet18").state_dict().keys()
