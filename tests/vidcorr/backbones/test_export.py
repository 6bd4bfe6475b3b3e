"""Weights out: what torchvision, timm and this project load has the features of the module that it came from."""

import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.helpers.method_steps import VIT, tiny
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr.backbones import Network, build_feature_extractor, load, trainable_network, weights_digest
from vidcorr.backbones.files.saved_models import read_content
from vidcorr.backbones.model_export import export
from vidcorr.cli import main
from vidcorr.commands import run_command
from vidcorr.errors import UsageError
from vidcorr.lightning_modules import FrozenEncoder

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_the_library_loads_it(tmp_path):
    module = FrozenEncoder("timm:test_resnet")
    write_checkpoint(module, tmp_path / "own.ckpt")
    names = {}
    told = export(tmp_path / "own.ckpt", tmp_path / "a/new/out.safetensors")
    with safe_open(tmp_path / "a/new/out.safetensors", "pt") as file:
        assert file.metadata()["load"] == told
    assert (tmp_path / "a/new/out.safetensors").stat().st_mode == (tmp_path / "own.ckpt").stat().st_mode
    exec(told, names)
    assert type(names["network"]).__module__.startswith("timm")
    assert weights_digest(names["network"]) == weights_digest(module)


def test_a_name_of_torchvision_in_capitals_is_exported_by_its_own_name(tmp_path):
    told = export("torchvision:ResNet18", tmp_path / "out.safetensors")
    assert "torchvision.models.resnet18()" in told
    assert load("torchvision:ResNet18").described.name == load("torchvision:resnet18").described.name


@pytest.mark.parametrize(("name", "options"), [("VFSSimSiam", {"backbone": VIT}), ("Liir", {"position": "2dape"})])
def test_a_file_is_read_again_by_itself(name, options, tmp_path):
    """A network with another normalisation than the library's, and one with arguments."""
    module, images = tiny(name, **options).eval(), torch.rand(1, 3, 64, 64)
    path = tmp_path / "own.safetensors"
    write_checkpoint(module, tmp_path / "own.ckpt")
    assert export(tmp_path / "own.ckpt", path) == f"from vidcorr.backbones import load\nencoder = load({str(path)!r})"
    found, expected = build_feature_extractor(path), module.feature_extractor()
    assert torch.equal(found(images), expected(images))
    assert (found.stage, found.stride) == (expected.stage, expected.stride)
    assert found.described == Network.of(module).with_weights_of(path)
    assert read_content(path, whole=False)["state_dict"] == {}
    assert name == "Liir" or trainable_network(str(path)).network.training


def test_a_file_of_others_or_with_code_of_others_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    kind = '"class_path": "vidcorr.backbones.encoder.Encoder"'
    attack = f'{{{kind}, "encoder": {{"spec": "os:abort"}}}}'
    for metadata, message in [
        ({}, "of no known family"),
        ({"vidcorr": "{"}, "damaged or foreign"),
        ({"vidcorr": attack}, "names os:abort, which is not of vidcorr"),
        ({"vidcorr": attack.replace("os:abort", "torchvision:resnet18")}, "does not fit ResNet"),
    ]:
        save_file({"a": torch.zeros(1)}, path, metadata)
        assert refused(ValueError, message, load, path)
    path.write_bytes(path.read_bytes()[:-3])
    refused(ValueError, "damaged or foreign", load, path)


@pytest.mark.slow
def test_onnx_gives_the_maps_of_the_checkpoint(vfs, tmp_path, capsys):
    output = tmp_path / "a/new/encoder.onnx"
    main(["export", f"{vfs}@res3", str(output), "--size", "60", "90"])
    told = capsys.readouterr().out.splitlines()
    session = f'session = onnxruntime.InferenceSession("{output}")'
    assert told[-2:] == [session, '(features,) = session.run(None, {"images": images})']
    assert list(output.parent.iterdir()) == [output]
    images = torch.rand(1, 3, 60, 90)
    (found,) = onnxruntime.InferenceSession(output).run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), load(vfs).view("res3")(images), rtol=0, atol=1e-4)


def test_onnx_needs_a_size_an_extra_and_images(tmp_path, monkeypatch):
    output = str(tmp_path / "encoder.onnx")
    size = ["--size", "8", "8"]
    video = ["export", "tests.helpers.encoders:recurrent", output, *size]
    line = "suffix must be one of '.safetensors', '.onnx', got '.pth'"
    refused(ValueError, line, run_command, ["export", "raw_colour", str(tmp_path / "encoder.pth")])
    words = ["export", "raw_colour", output]
    refused(ValueError, "needs --size H W", run_command, words)
    refused(UsageError, "--size: expected an integer of", run_command, [*words, "--size", "0", "8"])
    refused(ValueError, "a video encoder maps no", run_command, video)
    monkeypatch.setattr("vidcorr.backbones.model_export.find_spec", lambda name: None)
    refused(ValueError, r"pip install 'vidcorr\[onnx\]'", run_command, [*words, *size])
