"""The input of a network comes from its owner: a processor, timm's record, the caller; and weights have an identity.

Also tests `description.py`, `backbones/networks.py`.
"""

import json

import pytest
import timm
import torch
from torch import nn

from tests.helpers.refusal import refused
from vidcorr.backbones import EncoderSpec, build_feature_extractor, load
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD, INPUTS, Input
from vidcorr.lightning_modules import FrozenEncoder

hub = pytest.importorskip("transformers", reason="the extra transformers is not installed")
pytestmark = pytest.mark.usefixtures("no_gradients")
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS = {
    "ViTImageProcessor": HALF | {"image_mean": [0.4, 0.5, 0.6]},
    "ConvNextImageProcessor": HALF,
    "BitImageProcessor": {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    "MobileViTImageProcessor": {"do_flip_channel_order": True},
    "CLIPImageProcessor": {"do_normalize": False},
}
"""Class of transformers → its fields: an input, a size of its own, a factor of 255 / 2, BGR, RGB as it is."""


def folder_of(path, **fields):
    """Write a folder of a ConvNeXt with a processor, and return the model."""
    torch.manual_seed(0)
    model = hub.ConvNextModel(hub.ConvNextConfig(**STAGES)).eval()
    model.save_pretrained(path)
    if fields:
        (path / "preprocessor_config.json").write_text(json.dumps(fields))
    return model


@pytest.mark.parametrize("kind", PROCESSORS)
def test_the_input_of_a_folder_is_what_its_processor_makes_of_pictures(kind, tmp_path):
    model = folder_of(tmp_path, image_processor_type=kind, **PROCESSORS[kind])
    picture = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    processor = hub.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor(picture, do_resize=False, do_center_crop=False, return_tensors="pt")["pixel_values"]
    expected = model(pixels, output_hidden_states=True).hidden_states[-1]
    write_checkpoint(FrozenEncoder(str(tmp_path)), tmp_path / "x.ckpt")
    for name in (tmp_path, tmp_path / "x.ckpt"):
        found = build_feature_extractor(str(name))(picture[None] / 255)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert load(str(tmp_path)).input.source.startswith("preprocessor_config.json of ")


def test_a_family_saved_without_its_processor_has_its_authors_input(tmp_path):
    folder_of(tmp_path)
    stated = load(str(tmp_path)).input
    assert (stated.mean, stated.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert "the default of convnext, whose preprocessor_config.json is not there" in stated.source


ARCHITECTURE = "vit_tiny_patch16_224"  # timm's own record has a mean of .5
RECORD = {"architecture": ARCHITECTURE, "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}}


@pytest.mark.parametrize("spelling", ["folder", "file"])
def test_timms_folder_states_the_input_also_beside_a_named_file(spelling, tmp_path):
    network = timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True).eval()
    from safetensors.torch import save_file

    save_file(network.state_dict(), tmp_path / "model.safetensors")
    name = str(tmp_path) if spelling == "folder" else f"timm:{ARCHITECTURE}={tmp_path}/model.safetensors"
    (tmp_path / "config.json").write_text(json.dumps(RECORD))
    encoder = load(name)
    assert encoder.input == Input(mean=(0.1,) * 3, std=(0.2,) * 3, source=f"config.json of {tmp_path.name}")
    images = torch.rand(1, 3, 64, 96)
    tokens = network.forward_features((images - 0.1) / 0.2)[:, 1:]
    torch.testing.assert_close(encoder.view()(images), tokens.mT.unflatten(2, (4, 6)), atol=1e-4, rtol=1e-4)
    (tmp_path / "config.json").unlink()
    if spelling == "file":  # no record of timm's weights holds for others
        unknown = load(name).input
        assert (unknown.mean, unknown.source) == (
            IMAGENET_MEAN,
            "of model.safetensors it is not known: ImageNet's taken",
        )
        tagged = name.replace(ARCHITECTURE, f"{ARCHITECTURE}.augreg_in21k_ft_in1k")
        assert load(tagged).input.mean == (0.5,) * 3


def test_a_deviation_of_0_to_255_is_refused():
    for std in ((255,) * 3, (58.4, 57.1, 57.4), (0.2, 0.2, 0.0), (1, 1, 0.5)):
        refused(ValueError, "a deviation of RGB in .* is above 0, at most .5; got", Input.of, (0.4,) * 3, std, "x")
        refused(ValueError, "a deviation of RGB in", load, nn.Conv2d(3, 4, 8, 8), mean=(0.4,) * 3, std=std)
    for mean, std in INPUTS.values():
        assert Input.of(mean, std, "x")


def test_results_of_a_name_with_a_file_are_those_of_its_bytes(tmp_path):
    path = tmp_path / "own.pth"
    keys = []
    for seed in (0, 1):
        torch.save(load("torchvision:resnet18", seed=seed).network.state_dict(), path)
        spec = EncoderSpec(f"torchvision:resnet18={path}")
        assert spec.is_reusable
        keys.append(spec.identity())
    assert keys[0]["sha256"] != keys[1]["sha256"]
    moved = path.rename(tmp_path / "moved.pth")
    assert EncoderSpec(f"torchvision:resnet18={moved}").identity() == keys[1]
    assert not EncoderSpec(f"my_module:net={moved}").is_reusable
