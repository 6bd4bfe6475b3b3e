"""Input sizes by hand and by the golden files, padding that is cut again, filters."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.colour import normalised_lab
from lightning_modules.functional.propagation.sizing import GREY, NetworkInput, covered_size, fit_input, resized_size
from tests.helpers.network_input import check_input


def rules(**fields: Any) -> NetworkInput:
    return NetworkInput(name="x", **fields)


NATIVE, PAD_4, SQUARE = rules(), rules(input_padding=4), rules(input_size=(320, 320))
SHORT_480 = rules(input_size=480, input_multiple=64, input_rounding="floor", input_filter="opencv-linear")
SHORT_240 = rules(input_size=240, input_filter="bilinear-antialias")
CEILED = rules(input_size=480, input_multiple=16, input_rounding="ceil")
LONG_880 = rules(input_size=880, input_side="long", input_multiple=64, input_rounding="floor")


def test_padding_is_grey_and_lies_to_the_right_and_below() -> None:
    image = torch.rand(1, 3, 9, 10)
    fitted = fit_input(image, PAD_4)
    assert torch.equal(fitted[..., :9, :10], image)
    assert (fitted[..., 9:, :] == GREY).all()
    assert (fitted[..., 10:] == GREY).all()
    assert fit_input(image, NATIVE) is image
    assert fit_input(image, PAD_4, multiple=6).shape[-2:] == (12, 12)


def test_what_the_input_covers_in_pixels_of_the_picture() -> None:
    assert covered_size((480, 854), SHORT_480) == (480, 854)
    assert covered_size((479, 853), PAD_4) == (480, 856)
    assert covered_size((480, 854), NATIVE, multiple=14) == (490, 854)
    assert covered_size((480, 854), SHORT_240, multiple=16) == (480, 864)


@pytest.mark.parametrize(
    ("family", "sizing"),
    [
        ("dino", SHORT_480),
        ("rsp", SHORT_480),
        ("dift", SHORT_480.with_changes(input_multiple=32)),
        ("cropmae_davis", rules(input_size=(480, 880))),
        ("cropmae_vip", LONG_880),
        ("crw_davis", NATIVE),
        ("dinov3_480", CEILED),
        ("dinov3_960", CEILED.with_changes(input_size=960)),
    ],
)
def test_sizes_are_those_of_the_original_codes(golden: Any, family: str, sizing: NetworkInput) -> None:
    sizes = {"16x9": (720, 1280), "davis": (480, 854), "4x3": (480, 640), "portrait": (854, 480), "vip": (1080, 1920)}
    expected = golden("protocols/inputs")
    known = {case: size for case, size in sizes.items() if f"size_{family}_{case}" in expected}
    assert known
    for case, size in known.items():
        assert list(resized_size(size, sizing)) == expected[f"size_{family}_{case}"].tolist(), case


def first_frame(shared_data: Any, expected: Any) -> torch.Tensor:
    """The picture that the golden inputs were made of, uint8 (3, H, W)."""
    path = shared_data / "davis" / str(expected["frame_file"])
    if not path.is_file():
        pytest.skip(f"the frame is not here: {path}")
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("family", "name", "benchmark", "mean", "std"),
    [
        ("dino", "dino", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("rsp", "rsp", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("dift", "dift-sd", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("cropmae_davis", "cropmae", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("cropmae_vip", "cropmae", "vip", IMAGENET_MEAN, IMAGENET_STD),
        ("cropmae_jhmdb_of_pil_bilinear_320x240", "cropmae", "jhmdb", IMAGENET_MEAN, IMAGENET_STD),
        ("crw_davis", "crw", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("crw_crop320", "crw", "jhmdb", IMAGENET_MEAN, IMAGENET_STD),
        ("crw_crop320", "crw", "vip", IMAGENET_MEAN, IMAGENET_STD),
        ("rvm_davis", "rvm", "davis", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("rvm_vip", "rvm", "vip", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("rvm_jhmdb", "rvm", "jhmdb", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("dinov3_480", "dinov3", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("dinov3_960", "dinov3", "davis", IMAGENET_MEAN, IMAGENET_STD),
        ("hvc", "hvc", "davis", IMAGENET_MEAN, IMAGENET_STD),
    ],
)
def test_the_network_sees_what_it_sees_in_the_original_code(
    golden: Any, shared_data: Any, family: str, name: str, benchmark: str, mean: Any, std: Any
) -> None:
    expected = golden("protocols/inputs")
    frame = first_frame(shared_data, expected)
    protocol = PropagationProtocol.named(name, benchmark)
    if family == "dinov3_480":
        protocol = protocol.with_changes(input_size=480)
    if family == "cropmae_jhmdb_of_pil_bilinear_320x240":
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((320, 240), Image.Resampling.BILINEAR)
        frame = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    seen = fit_input(frame[None], protocol)[0]
    mean, std = (torch.tensor(c).view(3, 1, 1) for c in (protocol.rgb_mean or mean, protocol.rgb_std or std))
    check_input((seen - mean) / std, expected, family)


@pytest.mark.parametrize("benchmark", ["davis", "jhmdb"])
def test_what_spa_then_temp_sees_is_lab(golden: Any, shared_data: Any, benchmark: str) -> None:
    """OpenCV's Lab of rgb / 255, minus (50, 0, 0), divided by (50, 127, 127); ours is the exact formula."""
    expected = golden("protocols/inputs")
    protocol = PropagationProtocol.named("spa-then-temp", benchmark)
    seen = fit_input(first_frame(shared_data, expected)[None], protocol)
    lab = torch.from_numpy(cv2.cvtColor(seen[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2Lab)).permute(2, 0, 1)
    offset, scale = (torch.tensor(c).view(3, 1, 1) for c in ((50.0, 0.0, 0.0), (50.0, 127.0, 127.0)))
    check_input((lab - offset) / scale, expected, f"spa_then_temp_{benchmark}")
    check_input(normalised_lab(seen)[0], expected, f"spa_then_temp_{benchmark}", tolerance=5e-3)
