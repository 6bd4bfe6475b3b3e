"""Input sizes and inputs by hand and by the golden files, padding, and resampling by the rules of libraries."""

import json
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import PIL
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.helpers.network_input import check_input
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.functional.colour import normalised_lab
from vidcorr.functional.propagation.coding import NetworkInput, fit_input, input_sizes
from vidcorr.functional.propagation.resizing import nearest_index, resize_by_pillow
from vidcorr.protocols import PropagationProtocol


def rules(**fields):
    return NetworkInput(name="x", **fields)


FAMILIES = json.loads(Path(__file__).with_name("inputs.json").read_text())
"""Name in the golden file, protocol, benchmark."""


def test_images_are_resized_as_the_library_of_the_filter_does_it():
    """Of 8 bits, and of floats, which all but two filters round to 8 bits first."""
    image, size = torch.randint(256, (3, 20, 30), dtype=torch.uint8), (10, 15)
    pixels, floats = image.permute(1, 2, 0).numpy(), image[None].float() / 255
    of_pillow = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    expected = {
        "opencv-linear": torch.from_numpy(cv2.resize(pixels, size[::-1])).permute(2, 0, 1) / 255,
        "opencv-linear-float": torch.from_numpy(cv2.resize(pixels / np.float32(255), size[::-1])).permute(2, 0, 1),
        "pillow-bicubic": torch.from_numpy(np.array(of_pillow)).permute(2, 0, 1) / 255,
        "bilinear": F.interpolate(floats, size, mode="bilinear")[0],
        "bilinear-antialias": F.interpolate(floats, size, mode="bilinear", antialias=True)[0],
    }
    for kind, resized in expected.items():
        for given in (image[None], floats):
            found = fit_input(given, rules(input_size=size, input_filter=kind))[0]
            torch.testing.assert_close(found, resized, atol=1e-6, rtol=0)


def test_sizes_are_those_of_the_original_codes(golden):
    sizes = {"16x9": (720, 1280), "davis": (480, 854), "4x3": (480, 640), "portrait": (854, 480), "vip": (1080, 1920)}
    expected = golden("protocols/inputs")
    cases = [(*family, size) for family in FAMILIES for size in sizes if f"size_{family[0]}_{size}" in expected]
    assert len(cases) == 37
    for family, name, benchmark, size in cases:
        found, *_ = input_sizes(sizes[size], PropagationProtocol.named(name, benchmark))
        assert list(found) == expected[f"size_{family}_{size}"].tolist(), (family, size)


def first_frame(real_data, expected):
    """The picture that the golden inputs were made of, uint8 (3, H, W)."""
    path = real_data("davis") / str(expected["frame_file"])
    if not path.is_file():
        pytest.skip(f"the frame is not here: {path}")
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1)


@pytest.mark.parametrize(("family", "name", "benchmark"), FAMILIES)
def test_the_network_sees_what_it_sees_in_the_original_code(golden, real_data, family, name, benchmark):
    expected = golden("protocols/inputs")
    frame = first_frame(real_data, expected)
    protocol = PropagationProtocol.named(name, benchmark)
    if family == "cropmae_jhmdb_of_pil_bilinear_320x240":
        image = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((320, 240), Image.Resampling.BILINEAR)
        frame = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    of_network = ((0.0,) * 3, (1.0,) * 3) if name == "rvm" else (IMAGENET_MEAN, IMAGENET_STD)
    chosen = protocol.rgb_mean or of_network[0], protocol.rgb_std or of_network[1]
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in chosen)
    check_input((fit_input(frame[None], protocol)[0] - mean) / std, expected, family)


@pytest.mark.parametrize("benchmark", ["davis", "jhmdb"])
def test_what_spa_then_temp_sees_is_lab(golden, real_data, benchmark):
    """OpenCV's Lab of rgb / 255, minus (50, 0, 0), divided by (50, 127, 127); ours is the exact formula."""
    expected = golden("protocols/inputs")
    protocol = PropagationProtocol.named("spa-then-temp", benchmark)
    seen = fit_input(first_frame(real_data, expected)[None], protocol)
    lab = torch.from_numpy(cv2.cvtColor(seen[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2Lab)).permute(2, 0, 1)
    offset, scale = (torch.tensor(c).view(3, 1, 1) for c in ((50.0, 0.0, 0.0), (50.0, 127.0, 127.0)))
    check_input((lab - offset) / scale, expected, f"spa_then_temp_{benchmark}")
    check_input(normalised_lab(seen)[0], expected, f"spa_then_temp_{benchmark}", tolerance=5e-3)


def sizes_of_images(count):
    """(height, width, new height, new width): each side grows or shrinks; and a few of evaluations."""
    drawn = np.random.default_rng(0).integers(5, 70, (count, 4)).tolist()
    return [*drawn, [480, 854, 480, 880], [720, 1280, 256, 256], [480, 854, 720, 480]]


def test_two_passes_are_in_the_order_of_pillow_13():
    """Equal to Pillow's own call there; by a checksum on every other release."""
    draws = np.random.default_rng(1)
    digest = 0
    for height, width, *size in sizes_of_images(60):
        pixels = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for method in ("bilinear", "bicubic", "lanczos"):
            resized = resize_by_pillow(pixels, size, method)
            digest = crc32(resized.tobytes(), digest)
            if int(PIL.__version__.split(".")[0]) >= 13:
                whole = Image.fromarray(pixels).resize(size[::-1], Image.Resampling[method.upper()])
                np.testing.assert_array_equal(resized, whole)
    assert digest == 3553981937


def test_the_exact_nearest_pixel_is_that_of_opencv_5_by_any_release():
    sides = [*range(1, 90), 448, 480, 854, 880, 1080, 1920]
    indices = [nearest_index(source, target, "opencv-exact") for source in sides for target in sides]
    assert crc32(torch.cat(indices).numpy().tobytes()) == 1431746233
    if int(cv2.__version__.split(".")[0]) >= 5:
        for source, target in [(480, 854), (880, 854), (2, 7), (2, 5), (40, 58), (60, 37)]:
            row = np.arange(source, dtype=np.float64)[None]
            of_library = cv2.resize(row, (target, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0]
            assert nearest_index(source, target, "opencv-exact").tolist() == of_library.tolist()
