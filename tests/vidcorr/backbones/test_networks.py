"""Short names and their weights: a line says how to convert weights that cannot be downloaded."""

import urllib.error
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision

from lightning_modules import LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor, build_network
from vidcorr.backbones.networks import SHORT_NAMES


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Empty caches without a network."""

    def no_network(request, *_):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    return tmp_path


@pytest.mark.parametrize("spec", ["timm:vit_small_patch16_224.dino", "timm:resnet18", "torchvision:resnet18"])
def test_missing_weights_are_named(spec):
    said = refused(
        ValueError, f"backbone {spec}: its weights cannot be downloaded", build_network, spec, pretrained=True
    )
    assert said.endswith(f"vidcorr convert FILE OUT.ckpt --architecture {spec}")


@pytest.mark.slow
def test_cached_weights_of_torchvision_need_no_network(cache, monkeypatch):
    file = cache / "hub/checkpoints/resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), file)
    found = build_network("torchvision:resnet18", pretrained=True)
    torch.testing.assert_close(found.conv1.weight, network.conv1.weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SHORT_NAMES if name != "vidcorr-r18"])
def test_a_short_name_has_weights_a_stage_and_a_place_in_the_guide(name):
    spec, _, stage = SHORT_NAMES[name].partition("@")
    assert spec.removeprefix("timm:") in timm.list_models(pretrained=True)
    with torch.device("meta"):
        extractor = build_feature_extractor(spec, stage)
    size = name.rpartition("-")[2]
    assert extractor.stride == (8 if size.startswith("r") else int(size[1:]))
    assert f"`{name}`" in (Path(__file__).resolve().parents[3] / "docs/models.md").read_text()


@pytest.mark.parametrize(
    ("kind", "options"), [(VFSSimSiam, {}), (VFSMoCo, {}), (SiamFC, {}), (LinearProbe, {"num_classes": 2})]
)
def test_a_module_in_place_of_a_name_is_refused(kind, options):
    message = "backbone: expected a name, got a Conv2d: .* my_module:my_network"
    assert refused(ValueError, message, kind, torch.nn.Conv2d(3, 4, 8, 8), **options)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth.tar", "net.bin", "net.onnx", "net.yaml", "runs/net"])
def test_a_file_in_place_of_a_name_is_told_with_its_remedy(name, tmp_path):
    missing = tmp_path / name
    refused(ValueError, f"{missing}: no such file; a network is a checkpoint, timm:NAME", build_network, str(missing))
    missing.parent.mkdir(exist_ok=True)
    missing.write_bytes(b"weights")
    refused(ValueError, f"{missing}: no checkpoint of vidcorr; .*vidcorr convert", build_network, str(missing))
    refused(ValueError, f"{tmp_path}: is a folder: name a checkpoint in it", build_network, str(tmp_path))
