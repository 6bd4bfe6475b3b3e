"""Networks by name: short names and their weights, stages, maps, refusals.

Also tests `backbones/networks.py`, `backbones/loading.py`, `vidcorr/description.py`.
"""

import json
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import ResNet18_Weights

from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.words import model_by_words
from vidcorr.backbones import EncoderSpec, Network, build_feature_extractor, load
from vidcorr.backbones.networks import SHORT_NAMES
from vidcorr.lightning_modules import FrozenEncoder

pytestmark = pytest.mark.usefixtures("no_gradients")
OWN = __name__
TABLES = json.loads(Path(__file__).with_name("names.json").read_text())
"""Spec, stage, stride and the refusal; text, arguments and the fields; what cannot be fetched, and its place."""


def test_short_names_are_in_the_library_and_in_the_guide():
    guide = (Path(__file__).resolve().parents[3] / "docs/models.md").read_text("utf-8")
    assert [name for name in SHORT_NAMES if f"`{name}`" not in guide] == []
    specs = {spec.partition("@")[0].removeprefix("timm:") for spec in SHORT_NAMES.values() if spec.startswith("timm:")}
    assert specs <= set(timm.list_models(pretrained=True))


@pytest.mark.parametrize(("spec", "stage", "stride", "message"), TABLES["mistakes"])
def test_mistakes_are_named(spec, stage, stride, message):
    assert refused(ValueError, message, build_feature_extractor, spec, stage, stride)


@pytest.mark.parametrize(("text", "given", "expected"), TABLES["texts"])
def test_a_text_chooses_weights_stage_and_stride(text, given, expected):
    network = EncoderSpec(text, **given)
    assert network.name == (f"{text}, random weights" if text == "untrained" else text)
    arguments = dict(zip(("spec", "stage", "stride", "pretrained"), expected, strict=True))
    assert network.to_dict() == {name: value for name, value in arguments.items() if value}
    assert network.identity() == arguments | {"seed": given.get("seed", 0)}
    assert network.is_reusable
    assert network in {EncoderSpec(text, **given)}


@pytest.mark.parametrize("stated", [{"spec": "my:net", "depth": 3}, {"spec": "my:net", "arguments": 3}, {}, 3])
def test_other_fields_than_those_of_a_network_are_refused(stated):
    refused(ValueError, "own.ckpt: expected the name of a network, .* its fields", EncoderSpec.of, stated, "own.ckpt")


class Drawn(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 4, 4)


def of_a_function() -> nn.Module:
    return Drawn()


CALLABLES = [("Drawn", True), ("of_a_function", False)]


@pytest.mark.parametrize(("name", "is_random"), CALLABLES)
def test_a_class_draws_its_weights_and_a_function_has_its_own(name, is_random):
    """The caller's random state stays as it is, and a seed is one network."""
    text = f"{OWN}:{name}"
    before = torch.get_rng_state()
    network = EncoderSpec(text, seed=3)
    assert (network.is_random, network.name) == (is_random, f"{text}, random weights" if is_random else text)
    described = load(network).described
    assert torch.equal(torch.get_rng_state(), before)
    source = ("random weights", 3, False) if is_random else (f"weights of {text}", None, True)
    assert (described.weights, described.seed, described.loaded) == source
    of_seeds = [load(text, seed=seed).network.weight for seed in (3, 3, 4)]
    assert torch.equal(of_seeds[0], of_seeds[1])
    assert not torch.equal(of_seeds[0], of_seeds[2])


@pytest.mark.parametrize("name", ["UPPER.CKPT", "last.pth.tar", "run:1/a=b@res4.bin", "weights"])
def test_a_file_that_exists_is_told_by_its_content(name, here):
    Path(name).parent.mkdir(exist_ok=True)
    write_checkpoint(FrozenEncoder("tests.helpers.encoders:TinyResNet"), Path(name))
    assert (load(name).default_stage, load(f"{name}@res3").default_stage) == (None, "res3")
    assert model_by_words(name) == {"class_path": "FrozenEncoder", "init_args": {"spec": name}}
    torch.save({"conv1.weight": torch.zeros(1)}, name)
    refused(ValueError, f"of no known family, .*, torchvision:resnet18={name}", load, name)


@pytest.mark.parametrize(("name", "place"), TABLES["offline"])
def test_what_cannot_be_fetched_is_answered_by_its_place(name, place, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    refused(ValueError, f"where there is a network, hf download {place}", load, name)


PADDED = {"dynamic_img_size": True, "dynamic_img_pad": True}


MADE = {
    "timm:resnet18": {"num_classes": 0, "pretrained": False},
    "timm:deit_tiny_patch16_224": {"num_classes": 0, "pretrained": False} | PADDED,
    "torchvision:resnet18": {"weights": None, "zero_init_residual": True},
}
"""Name → options with which its library makes the network."""


@pytest.mark.parametrize("name", MADE)
def test_a_library_makes_a_network_with_its_weights_if_they_are_asked_for(name, monkeypatch):
    asked = []
    for library in ("timm.create_model", "torchvision.models.get_model"):
        monkeypatch.setattr(library, lambda name, **given: asked.append((name, given)) or nn.Conv2d(3, 4, 4, 4))
    for pretrained in (False, True):
        load(name, pretrained, seed=None)
        assert load(name, pretrained).described.loaded is pretrained
    library, _, plain = name.partition(":")
    trained = {"pretrained": True} if library == "timm" else {"weights": ResNet18_Weights.IMAGENET1K_V1}
    assert asked == [(plain, MADE[name])] * 2 + [(plain, MADE[name] | trained)] * 2


def test_a_resnet_starts_at_zero_and_has_channels_last():
    network = load("torchvision:resnet18", seed=None).network
    for each in (network, load("vidcorr.backbones:crw_resnet18", seed=None).network):
        assert each.layer1[0].bn2.weight.eq(0).all()
    assert network.conv1.weight.is_contiguous(memory_format=torch.channels_last)


FORMS = {"resnetblur18": (256, 8), "naflexvit_base_patch16_siglip": (768, 16), "samvit_base_patch16": (256, 16)}
"""Network → channels and stride; the first has strides in its blurred poolings."""


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.sampled(3)
def test_networks_of_other_forms_give_a_map_of_any_size(name):
    channels, stride = FORMS[name]
    with torch.device("meta"):
        found = load(f"timm:{name}").view()(torch.rand(1, 3, 192, 256))
    assert found.shape == (1, channels, -(-192 // stride), -(-256 // stride))


class MyModule(nn.Conv2d):
    """A user's module; its arguments may have the names of ours."""

    def __init__(self, width, backbone="resnet18", spec=None):
        super().__init__(3, width, 4, 4)


def wide():
    return MyModule(8)


@pytest.fixture
def weights(here):
    """Weights of width 8, in a folder for files."""
    return {"weight": torch.rand(8, 3, 4, 4), "bias": torch.rand(8)}


def test_a_checkpoint_of_an_own_module_is_a_network_and_one_of_a_method_passes_the_gate(weights):
    arguments = {"width": 8, "backbone": "resnet18", "spec": "resnet18"}
    torch.save({"state_dict": weights, "hyper_parameters": arguments}, "last.ckpt")
    encoder = load(f"{OWN}:MyModule=last.ckpt")
    torch.testing.assert_close(dict(encoder.network.state_dict()), weights, rtol=0, atol=0)
    assert Network.of(encoder).weights == "weights of last.ckpt"
    torch.save({"state_dict": weights, "hyper_parameters": {"width": 9}}, "other.ckpt")
    refused(ValueError, r"other\.ckpt", load, f"{OWN}:MyModule=other.ckpt")
    torch.save({"state_dict": weights, "hyper_parameters": {"backbone": "os:abort"}}, "last.ckpt")
    refused(
        ValueError, "last.ckpt: names os:abort, which is not of vidcorr", load, "lightning_modules:VFSSimSiam=last.ckpt"
    )


def test_weights_alone_are_a_network_by_their_class(weights):
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    files = {"bare": weights, "nested": {"model": weights, "ema": weights, "epoch": 3}, "ddp": wrapped}
    files["further"] = {"state_dict": weights | {"norm._extra_state": None}, "hyper_parameters": None}
    files["words"] = {"state_dict": weights, "hyper_parameters": "lr=0.1"}
    for name, content in files.items():
        torch.save(content, f"{name}.pth")
        network = load(f"{OWN}:wide={name}.pth").network
        assert torch.equal(network.weight, weights["weight"])
    remedy = r"; or name a function that returns the network for these weights, my_module:my_network=bare\.pth$"
    refused(ValueError, f"^bare.pth: MyModule cannot be made: .*width.*{remedy}", load, f"{OWN}:MyModule=bare.pth")
    refused(ValueError, "expected a torch.nn.Module, got a int", load, "builtins:int=bare.pth")
    torch.save({"conv.weight": torch.zeros(1)}, "other.pth")
    refused(ValueError, "^other.pth: does not fit MyModule: Missing key", load, f"{OWN}:wide=other.pth")
    torch.save(network, "whole.pth")
    line = r"whole\.pth: holds no weights, .* code, which is not run: save the weights alone, torch\.save\("
    refused(ValueError, line, load, f"{OWN}:wide=whole.pth")


@pytest.mark.parametrize("text", ["timm:resnet18=nowhere.pth", "nowhere.ckpt", "nowhere:net"])
def test_a_spec_is_a_value_which_asks_no_disk(text, monkeypatch):
    monkeypatch.setattr("pathlib.Path.is_file", None)
    spec = EncoderSpec(f"{text}@res4/8")
    assert (spec.spec, spec.stage, spec.stride) == (text, "res4", 8)
    fields = {"spec": text, "stage": "res4", "stride": 8}
    assert EncoderSpec.of(spec.to_dict(), "x").to_dict() == spec.to_dict() == fields


@pytest.mark.parametrize("text", ["gone.pth", "torchvision:resnet18=gone.pth"])
def test_a_file_that_is_missing_fails_where_it_is_loaded_not_where_jobs_are_named(text):
    spec = EncoderSpec(text)
    assert (spec.identity()["spec"], spec.is_reusable) == (text, True)
    refused(ValueError, "gone.pth: no such checkpoint", load, text)
