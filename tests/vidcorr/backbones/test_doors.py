"""Inputs, outputs and files of weights at the doors to networks; test_kinds.py has all kinds at all doors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import networks
from tests.helpers.encoders import TinyResNet
from tests.helpers.foreign import enliven
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr import DavisBenchmark
from vidcorr.backbones import Input, build_feature_extractor, load
from vidcorr.benchmarks.network import view_for
from vidcorr.cli import main
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.lightning_modules import VFSSimSiam

pytestmark = pytest.mark.usefixtures("no_gradients")
NAMES = "tests.helpers.networks"


@pytest.mark.slow
def test_two_inputs_of_a_network_are_two_results_in_two_rows(davis_root, here, capsys):
    words = [f"{NAMES}:plain", "--on", f"davis={davis_root}", "--limit", "1", "--change", "radius=3"]
    main(["evaluate", *words, "--input", "half"])
    assert "input:" not in "".join(capsys.readouterr())  # the caller knows it
    main(["evaluate", *words, "--mean", "0.1", "0.2", "0.3", "--std", "0.2", "0.2", "0.2"])
    main(["table", "evaluation"])
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(f"| {NAMES}:plain, ")]
    for row in rows:
        name = row.split(" | ")[0].removeprefix("| ")
        assert f" (stated by the caller) of {name}" in printed
    assert ["0.5, 0.5, 0.5" in row for row in sorted(rows)] == [False, True]
    half = ["--model.mean", "[0.5, 0.5, 0.5]", "--model.std", "[0.5, 0.5, 0.5]"]
    main(["validate", "--model", *words, *half, "--trainer.logger", "false"])
    assert "input:" not in "".join(capsys.readouterr())
    (validated,) = [path for path in here.rglob("results.json") if "evaluation" not in path.parts]
    assert json.loads(validated.read_text())["stage"]["input"]["mean"] == [0.5] * 3


def test_a_stated_input_replaces_that_of_a_record_and_of_a_part():
    grey = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    frames = torch.rand(1, 3, 64, 64)
    kinds = [nn.Conv2d(3, 4, 8, 8), TinyResNet(), networks.vit(), networks.extractor()]
    for network in (*kinds, networks.WithEncoder(), networks.Classifier()):
        plain = build_feature_extractor(network, mean=(0, 0, 0), std=(1, 1, 1))
        found = build_feature_extractor(network, **grey)
        torch.testing.assert_close(found(frames), plain((frames - 0.5) / 0.25), atol=1e-4, rtol=1e-4)
        assert found.input == Input(**grey, source="stated by the caller")
    stated = nn.Conv2d(3, 4, 8, 8)
    stated.input_mean, stated.input_std = torch.full((1, 3, 1, 1), 0.5), np.full(3, 0.25)
    assert load(stated).input == Input(**grey, source="stated by Conv2d")
    stated.input_mean = (123.675, 116.28, 103.53)
    refused(ValueError, r"input stated by Conv2d: mean and deviation are three .* of RGB in \[0, 1\]", load, stated)
    half = nn.Conv2d(3, 4, 8, 8)
    half.input_mean = (0.5, 0.5, 0.5)
    refused(ValueError, "input stated by Conv2d: mean and deviation are three numbers", load, half)
    refused(ValueError, "input: give --mean and --std together", load, nn.Conv2d(3, 4, 8, 8), mean=(0.4, 0.4, 0.4))


def test_stage_and_stride_that_an_extractor_does_not_have_are_refused():
    extractor = build_feature_extractor(TinyResNet(), "res3")
    for benchmark in (DavisBenchmark(""), DavisBenchmark("", stage="res3", stride=8)):
        view = view_for(benchmark, extractor, load(extractor))
        assert (view.stage, view.stride, view.network) == ("res3", 8, extractor.network)
    message = "NetworkView: has stage res3, not res4"
    refused(ValueError, message, view_for, DavisBenchmark("", stage="res4"), extractor, load(extractor))


def test_a_torchscript_module_and_a_network_behind_a_property_are_networks(tmp_path):
    plain = nn.Sequential(nn.Conv2d(3, 4, 8, 8))
    images = torch.rand(1, 3, 64, 64)
    torch.jit.save(torch.jit.script(plain), tmp_path / "network.pt")

    class Behind(nn.Module):
        @property
        def backbone(self) -> nn.Module:
            return plain

    for network in (torch.jit.load(tmp_path / "network.pt"), torch.jit.trace(plain, images), Behind()):
        torch.testing.assert_close(build_feature_extractor(network)(images), plain(images))


def test_the_attributes_of_a_module_are_those_of_the_page():
    """They are read by these names, in the room of the networks."""
    page = Path("docs/extend.md").read_text("utf-8").partition("| attribute of a module |")[2].partition("\n\n")[0]
    names = [line.split("`")[1] for line in page.splitlines()[2:]]
    assert len(names) == 6
    sources = "".join(path.read_text("utf-8") for path in Path("vidcorr/backbones").glob("*.py"))
    for name in names:
        assert re.search(rf'(getattr|hasattr)\(\w+(\.\w+)?, "{name}"', sources), name


def test_a_network_of_one_image_size_or_of_clips_is_refused_with_its_words_and_the_remedies():
    class OfOneSize(nn.Conv2d):
        def forward(self, images):
            if images.shape[2] != 224:
                raise ValueError(f"Wrong image height! Expected 224 but got {images.shape[2]}!")
            return super().forward(images)

    remedies = r"if it takes clips: give .*Clips\(network\); if only images of its own size: give .* a wrapper .*"
    said = rf"OfOneSize: no map of an image of 256 x 320 \({remedies}\): Wrong .* got 256!"
    refused(ValueError, said, load(OfOneSize(3, 4, 8, 8)).view)


def test_clips_of_tokens_are_maps_of_tubelets_upsampled_to_frames():
    clips = networks.clips_of_tokens()
    video = torch.rand(4, 3, 64, 80)
    found = torch.stack(list(clips.encode(iter(video))))
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    maps = clips.net.video(((video - mean) / std).transpose(0, 1)[None])[0]  # C x 2 x 8 x 10
    assert found.shape == (4, networks.WIDTH, 8, 10)
    torch.testing.assert_close(found[0], maps[:, 0])
    torch.testing.assert_close(found[3], maps[:, 1])


def test_weights_fit_below_a_common_prefix_and_without_a_classifier(here, capsys):
    network = TinyResNet()
    enliven(network)
    state = network.state_dict()
    classifier = {"fc.weight": torch.rand(2, 8), "head.bias": torch.rand(2)}
    text = "tests.helpers.encoders:TinyResNet"
    for prefix in ("encoder.", "backbone.", "model.", "module.", "model.encoder."):
        mine = {f"{prefix}{name}": tensor for name, tensor in (state | classifier).items()}
        torch.save({"state_dict": mine | {"projector.weight": torch.rand(2, 2)}}, "plain.ckpt")
        torch.testing.assert_close(load(f"{text}=plain.ckpt").network.state_dict(), state, rtol=0, atol=0)
        assert capsys.readouterr().out == f"plain.ckpt: takes the weights below {prefix[:-1]}\n"


@pytest.mark.parametrize("spec", ["timm:test_resnet", "torchvision:resnet18"])
@pytest.mark.sampled(2)
def test_own_weights_of_a_librarys_network_with_its_classifier(spec, here):
    torch.manual_seed(5)
    network = load(spec, seed=None).network
    torch.save(network.state_dict() | {"fc.weight": torch.rand(2, 512), "fc.bias": torch.rand(2)}, "own.pth")
    encoder = load(f"{spec}=own.pth@res4/8")
    torch.testing.assert_close(encoder.network.state_dict(), network.state_dict(), rtol=0, atol=0)
    view = encoder.view()
    assert (view.stage, view.stride, encoder.described.weights) == ("res4", 8, "weights of own.pth")
    assert (encoder.described.spec, encoder.described.loaded) == (spec, True)
    refused(ValueError, "own.pth: does not fit", load, "timm:test_convnext=own.pth")
    start = VFSSimSiam(f"{spec}=own.pth", 8, 8)  # trains from them
    torch.testing.assert_close(start.backbone.state_dict(), network.state_dict(), rtol=0, atol=0)
    write_checkpoint(start, here / "trained.ckpt")
    assert load("trained.ckpt").described.spec == spec
