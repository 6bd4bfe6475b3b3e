"""The input of a network comes from its owner: a processor, timm's record, the caller; and weights have an identity.

Also tests `description.py`, `backbones/networks.py`.
"""

import json

import pytest
import timm
import torch

from tests.helpers.hub import hub, saved
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr.backbones import EncoderSpec, build_feature_extractor, load
from vidcorr.cli import main
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD, OF_RANDOM, UNKNOWN, Input
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam

pytestmark = pytest.mark.usefixtures("no_gradients")
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS = {
    "ViTImageProcessor": HALF | {"image_mean": [0.4, 0.5, 0.6]},
    "ConvNextImageProcessor": HALF,
    "BitImageProcessor": {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    "CLIPImageProcessor": {"do_normalize": False},
}
"""Class of transformers → its fields: an input, a size of its own, a factor of 255 / 2, RGB as it is."""


def folder_of(path, **fields):
    """Write a folder of a ConvNeXt with a processor, and return the model."""
    model = saved(path, "ConvNext")
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


def test_a_folder_without_a_processor_states_no_input_and_one_of_bgr_is_refused(tmp_path):
    folder_of(tmp_path)
    assert load(str(tmp_path)).input == UNKNOWN
    folder_of(tmp_path, image_processor_type="MobileViTImageProcessor", do_flip_channel_order=True)
    refused(ValueError, "takes BGR: give a module that swaps the channels", load, str(tmp_path))


ARCHITECTURE = "test_vit"  # timm's own record has a mean of .5


def test_a_tag_of_timm_states_the_input_of_a_file(tmp_path):
    path = weights_of(f"timm:{ARCHITECTURE}", tmp_path / "own.pth")
    assert load(f"timm:{ARCHITECTURE}.r160_in1k={path}").input.mean == (0.5,) * 3


def test_results_of_a_name_with_a_file_are_those_of_its_bytes(tmp_path):
    path = tmp_path / "own.pth"
    keys = []
    for seed in (0, 1):
        torch.save(load("timm:test_resnet", seed=seed).network.state_dict(), path)
        spec = EncoderSpec(f"timm:test_resnet={path}")
        assert spec.is_reusable
        keys.append(spec.identity())
    assert keys[0]["sha256"] != keys[1]["sha256"]
    moved = path.rename(tmp_path / "moved.pth")
    assert EncoderSpec(f"timm:test_resnet={moved}").identity() == keys[1]
    assert not EncoderSpec(f"my_module:net={moved}").is_reusable
    own = "tests.helpers.training:Tiny"
    for kind, name, is_reusable in ((FrozenEncoder, VIT, True), (OwnMethod, VIT, True), (FrozenEncoder, own, False)):
        path = write_checkpoint(kind(name), tmp_path / "frozen.ckpt")
        assert EncoderSpec(str(path)).is_reusable == is_reusable


class OwnMethod(FrozenEncoder):
    """A user's class, whose features are the library's encoder's."""


def weights_of(name, path):
    """Save random weights of a library's network, and return the file."""
    torch.save(load(name, seed=3).network.state_dict(), path)
    return path


VIT = f"timm:{ARCHITECTURE}"
STATED = Input(mean=(0.1, 0.2, 0.3), std=(0.2, 0.2, 0.2), source="stated by Stated")
OWNERS = {
    "own class's file": (lambda own: f"{__name__}:of_timm={weights_of(VIT, own)}", UNKNOWN),
    "torchvision's file": (lambda own: f"torchvision:resnet18={weights_of('torchvision:resnet18', own)}", UNKNOWN),
    "file alone": (lambda own: str(weights_of("torchvision:resnet18", own)), UNKNOWN),
    "timm's file": (lambda own: f"{VIT}={weights_of(VIT, own)}", UNKNOWN),
    "random of torchvision": (lambda own: "torchvision:resnet18", OF_RANDOM),
    "own, which states it": (lambda own: "tests.helpers.networks:Stated", STATED),
    "random of timm": (lambda own: VIT, OF_RANDOM),
    "own class": (lambda own: f"{__name__}:OfTimm", OF_RANDOM),
    "own, which states none": (lambda own: "tests.helpers.networks:plain", Input()),
    "ours": (lambda own: "vidcorr-r18", Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="its card")),
}
"""Whose weights a network has → what makes its name, and its input."""


def of_timm():
    return timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True)


class OfTimm(timm.models.VisionTransformer):
    def __init__(self):
        super().__init__(32, 16, num_classes=0, embed_dim=48, depth=2, num_heads=3, dynamic_img_size=True)


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.sampled(20, 3)
def test_a_librarys_input_is_that_of_its_own_weights_at_each_door(owner, davis_root, here, capsys):
    named, stated = OWNERS[owner]
    network = named(here / "own.pth")
    assert load(network).input == load(network).view().input == FrozenEncoder(network).evaluated.input == stated
    frames = davis_root / "JPEGImages/480p/synthetic-000"
    mask = davis_root / "Annotations/480p/synthetic-000/00000.png"
    data = ["--on", f"davis={davis_root}", "--limit", "1", "--change", "radius=3", "context=2"]
    capsys.readouterr()
    for command in (
        ["evaluate", network, *data, "--output", "evaluated"],
        ["validate", "--model", network, *data, "--trainer.logger", "false"],
        ["predict", str(frames), "--mask", str(mask), "--model", network, "--output", "predicted", "--no-overlay"],
    ):
        main(command)
        printed = "".join(capsys.readouterr())
        assert f"input: {stated}" in printed
        assert ("state it by --input" in printed) is (stated in (UNKNOWN, Input())), printed
    main(["table", "evaluated"])
    assert f"Input: {stated}" in capsys.readouterr().out
    held = [json.loads(path.read_text())["stage"]["input"] for path in here.rglob("results.json")]
    held.append(json.loads((here / "predicted/prediction.json").read_text())["input"])
    assert held == [stated.model_dump(mode="json")] * 3
    write_checkpoint(FrozenEncoder(network), here / "frozen.ckpt")
    again = load(here / "frozen.ckpt").input
    assert (again.mean, again == UNKNOWN) == (stated.mean, stated == UNKNOWN)


@pytest.mark.parametrize("owner", [owner for owner in OWNERS if OWNERS[owner][1] == UNKNOWN])
@pytest.mark.sampled(4, 3)
def test_a_training_from_weights_of_unknown_input_makes_it_known(owner, tmp_path):
    method = VFSSimSiam(OWNERS[owner][0](tmp_path / "own.pth"), 8, 8)
    write_checkpoint(method, tmp_path / "trained.ckpt")
    for encoder in (method.evaluated, load(tmp_path / "trained.ckpt")):
        assert (encoder.input.mean, encoder.input == UNKNOWN) == (IMAGENET_MEAN, False)


def test_a_deviation_of_grey_levels_or_of_none_is_refused():
    for deviation in ((58.4, 57.1, 57.4), (0.2, 0.2, 0), (1, 1, 0.5)):
        refused(ValueError, "stated by Net: a deviation of RGB", Input.of, (0.4, 0.5, 0.6), deviation, "stated by Net")
