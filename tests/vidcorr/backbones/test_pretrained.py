"""Short names and their weights: missing weights are named with file, cache and conversion, before heavy imports."""

import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision

from cli import main
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor, build_network
from vidcorr.backbones.pretrained import NAMED, SHORT_NAMES, require_named

MISSING = "its weights are not in"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Empty caches without a network."""

    def no_network(request, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    return tmp_path


@pytest.mark.parametrize("spec", ["timm:vit_small_patch16_224.dino", "timm:resnet18"])
def test_missing_weights_of_timm_are_named(spec, cache):
    said = refused(ValueError, MISSING, build_network, spec, pretrained=True)
    assert f"{MISSING} {cache}" in said
    known = timm.get_pretrained_cfg(spec.removeprefix("timm:"))
    assert f"{known.hf_hub_id}/resolve/main/model.safetensors cannot be reached" in said
    assert said.endswith(f"vidcorr convert model.safetensors OUT.ckpt --architecture {spec}")


def test_missing_weights_of_torchvision_are_named(cache):
    said = refused(ValueError, MISSING, build_network, "torchvision:resnet18", pretrained=True)
    assert f"{MISSING} {cache}/hub/checkpoints, and https://" in said
    assert said.endswith("vidcorr convert resnet18-f37072fd.pth OUT.ckpt --architecture torchvision:resnet18")


def test_cached_weights_of_torchvision_need_no_network(cache, monkeypatch):
    file = cache / "hub/checkpoints/resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), file)
    found = build_network("torchvision:resnet18", pretrained=True)
    torch.testing.assert_close(found.conv1.weight, network.conv1.weight)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_a_short_name_has_weights_a_stage_and_a_place_in_the_guide(name):
    spec, _, stage = SHORT_NAMES[name].partition("@")
    assert spec.removeprefix("timm:") in timm.list_models(pretrained=True)
    with torch.device("meta"):
        extractor = build_feature_extractor(spec, stage)
    size = name.rpartition("-")[2]
    assert extractor.stride == (8 if size.startswith("r") else int(size[1:]))
    assert f"`{name}`" in (Path(__file__).resolve().parents[3] / "docs/models.md").read_text()


def test_timm_keeps_the_weights_of_short_names_under_their_own_name():
    found = {spec: timm.get_pretrained_cfg(spec.removeprefix("timm:")).hf_hub_id for spec in NAMED}
    assert found == {spec: spec.replace(":", "/") for spec in NAMED}


@pytest.mark.parametrize("words", [["--model", "dino-s16@block11"], ["--model=dino-s16"]])
def test_the_command_line_is_refused_before_other_mistakes(words):
    with pytest.raises(SystemExit, match=f"backbone timm:vit_small_patch16_224.dino: {MISSING}"):
        main(["validate", *words, "--config=nowhere.yaml"])
    require_named(["fit", "--model=VFSSimSiam", "dino", str(Path("dino-s16/last.ckpt"))])
    require_named(["validate", *words, "--model.pretrained=false"])
