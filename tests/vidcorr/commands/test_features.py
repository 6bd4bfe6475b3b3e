"""`vidcorr features`: colours by one basis, and maps.

Also tests `tracking/feature_pictures.py`.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vidcorr import FrameStream
from vidcorr.backbones import build_feature_extractor
from vidcorr.cli import main
from vidcorr.tracking.feature_pictures import write_maps
from vidcorr.videos.image_files import read_image

PROTOCOL = "vidcorr-fast+input_size=48"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A film of three frames whose left half is red and then blue, the right half green."""
    folder = tmp_path_factory.mktemp("film")
    for t, left in enumerate([(200, 10, 10), (10, 10, 200), (200, 10, 10)]):
        image = np.full((48, 64, 3), (10, 200, 10), np.uint8)
        image[:, :32] = left
        Image.fromarray(image).save(folder / f"{t:05d}.png")
    return folder


def test_equal_features_have_equal_colours(video, tmp_path, capsys):
    output = tmp_path / "new/sheet.png"
    main(["features", "raw_colour", str(video), "--protocol", PROTOCOL, "--output", str(output)])
    assert capsys.readouterr().out.endswith(f"{output}\n")
    first, second, third = np.array_split(read_image(output).astype(int), 3, axis=1)
    assert first.shape[1] >= 240
    below = slice(250, 350), slice(20, 100)
    assert np.abs(first[below].mean((0, 1)) - second[below].mean((0, 1))).max() > 50
    assert np.abs(first[below].mean((0, 1)) - third[below].mean((0, 1))).max() < 9


def test_maps_are_those_of_the_extractor(video, tmp_path):
    main(["features", "raw_colour", str(video), "--protocol", "vidcorr-fast", "--output", str(tmp_path / "maps.npz")])
    with np.load(tmp_path / "maps.npz") as found:
        assert (str(found["stage"]), int(found["stride"]), found["features"].dtype) == ("colour", 8, np.float16)
        assert json.loads(str(found["input"]))
        images = torch.stack(list(FrameStream(video))) / 255
        expected = build_feature_extractor("raw_colour", stride=8)(images)
        np.testing.assert_allclose(found["features"], expected, atol=2e-3)


@pytest.mark.parametrize("factor", [1e6, 1e-9])
def test_features_that_float16_would_lose_are_kept(factor, video, tmp_path):
    class Scaled(torch.nn.Module):
        def forward(self, images):
            return torch.nn.functional.avg_pool2d(images, 8) * factor

    write_maps(tmp_path / "maps.npz", build_feature_extractor(Scaled(), stride=8), FrameStream(video))
    with np.load(tmp_path / "maps.npz") as found:
        assert found["features"].dtype == np.float32
        assert factor / 10 < found["features"].max() < factor * 10
