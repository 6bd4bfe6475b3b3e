"""`vidcorr features`: colours by one basis, and a place that is looked for in all frames, in each form of output.

Also tests `tracking/feature_pictures.py`.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.words import refusal
from vidcorr import FrameStream
from vidcorr.backbones import build_feature_extractor
from vidcorr.cli import main
from vidcorr.results.pictures.overlays import FOUND
from vidcorr.tracking.feature_pictures import feature_pictures, write_maps
from vidcorr.videos.images import read_image

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


def test_equal_features_have_equal_colours_and_a_place_is_found_where_it_is(video):
    pictures = feature_pictures("raw_colour", FrameStream(video), PROTOCOL, (10, 20))
    found = [next(pictures)]
    assert torch.is_grad_enabled()  # for its caller, between two frames
    found += pictures
    assert [sorted(each) for each in found] == [["colours", "found", "frame"]] * 3
    colours = np.stack([each["colours"] for each in found]).astype(int)
    heat = np.stack([each["found"] for each in found]).astype(int).sum(3)
    inner = slice(8, 24), slice(8, 24)
    assert [each["found"][20, 10].tolist() == list(FOUND) for each in found] == [True, False, False]
    np.testing.assert_array_equal(colours[0], colours[2])
    assert np.abs(colours[0][inner] - colours[1][inner]).max() > 50
    right = slice(8, 24), slice(44, 60)
    assert np.abs(colours[0][right] - colours[1][right]).max() < 12  # one basis; the grey of the frame is alike
    assert heat[0][inner].min() > heat[0][right].max() + 100
    assert heat[2][inner].min() > heat[1][inner].max() + 100


def test_each_form_of_output(video, tmp_path, capsys):
    words = ["features", "raw_colour", str(video), "--protocol", PROTOCOL, "--start", "1", "--output"]
    for name in ("new/film.mp4", "sheet.svg", "pictures"):
        main([*words, str(tmp_path / name), "--point", "10,20"])
        assert capsys.readouterr().out.endswith(f"{tmp_path / name}\n")
    assert FrameStream(tmp_path / "new/film.mp4").num_frames == 2
    assert ">frame 2<" in (tmp_path / "sheet.svg").read_text("utf-8")
    assert read_image(tmp_path / "pictures/00002.png").shape == (48, 3 * 64, 3)
    assert "lies outside the frame of 64 × 48 px" in refusal(*words, tmp_path / "no", "--point", "64,20")
    assert "expected x,y, got ['3']" in refusal(*words, tmp_path / "no", "--point", "3")
    assert "suffix must be one of '.mp4', " in refusal(*words, tmp_path / "film.tiff")
    assert "--point: maps.npz holds the maps of all frames" in refusal(*words, "maps.npz", "--point=1,1")


def test_maps_are_those_of_the_extractor(video, tmp_path):
    main(["features", "raw_colour", str(video), "--protocol", "vidcorr-fast", "--output", str(tmp_path / "maps.npz")])
    with np.load(tmp_path / "maps.npz") as found:
        assert (str(found["stage"]), int(found["stride"]), found["features"].dtype) == ("colour", 8, np.float16)
        assert json.loads(str(found["input"]))
        images = torch.stack(list(FrameStream(video))) / 255
        expected = build_feature_extractor("raw_colour", stride=8)(images)
        np.testing.assert_allclose(found["features"], expected, atol=2e-3)


def test_features_beyond_float16_are_kept(video, tmp_path):
    class Large(torch.nn.Module):
        def forward(self, images):
            return torch.nn.functional.avg_pool2d(images, 8) * 1e6

    write_maps(tmp_path / "maps.npz", build_feature_extractor(Large(), stride=8), FrameStream(video))
    with np.load(tmp_path / "maps.npz") as found:
        assert found["features"].dtype == np.float32
        assert np.isfinite(found["features"]).all()
        assert found["features"].max() > 1e5
