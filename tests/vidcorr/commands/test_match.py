"""`vidcorr match`: known shifts of a picture are found, in pixels of the pictures, whatever their sizes and turns.

Also tests `experiments/match.py`.
"""

import csv

import numpy as np
import pytest
from PIL import Image

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.words import refusal


def write_pictures(folder):
    """Write a picture, and it again at twice the size with a tag that turns it: the file lies on its side."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((192, 128), Image.Resampling.BICUBIC)
    picture.save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    large = picture.resize((384, 256), Image.Resampling.BICUBIC)
    large.transpose(Image.Transpose.ROTATE_90).save(folder / "b.jpg", exif=exif, quality=95)
    return [str(folder / name) for name in ("a.png", "b.jpg")]


def matched(folder, *words):
    """Run the command; return the five columns of matches.csv."""
    main(["match", *write_pictures(folder), "--output", str(folder / "out"), *words])
    rows = list(csv.DictReader((folder / "out/matches.csv").open()))
    assert list(rows[0]) == ["x1", "y1", "x2", "y2", "similarity"]
    return np.array([list(map(float, row.values())) for row in rows])


@pytest.mark.parametrize(
    "protocol", ["dift+input_size=128", pytest.param("sd-dino+input_size=128", marks=pytest.mark.slow)]
)
def test_the_best_matches_of_a_picture_and_its_turned_and_enlarged_copy(tmp_path, protocol, capsys):
    words = ["--model", "raw_colour@colour/4", "--protocol", protocol, "--best", "12"]
    found = matched(tmp_path, *words)
    assert 5 <= len(found) <= 12
    np.testing.assert_allclose(2 * found[:, :2], found[:, 2:4], atol=12)  # a cell has 4 to 6 pixels
    assert (np.diff(found[:, 4]) <= 0).all()
    np.testing.assert_array_equal(found, found.round(4))
    assert (found[:, :2] < (192, 128)).all()
    assert all(np.linalg.norm(found[:i, :2] - found[i, :2], axis=1).min() > 20 for i in range(1, len(found)))
    picture = Image.open(tmp_path / "out/matches.png")
    assert picture.size == (960, 1280)
    assert capsys.readouterr().out.startswith(f"{len(found)} matches, similarity ")


@pytest.mark.slow
def test_a_protocol_chooses_the_features_of_a_resnet_as_for_scores(tmp_path):
    words = ["--points", "40,30", "--model"]
    by_protocol = matched(tmp_path, *words, "vidcorr-r18", "--protocol", "dift+input_size=128+features=res3/4")
    by_name = matched(tmp_path, *words, "vidcorr-r18@res3/4", "--protocol", "dift+input_size=128")
    by_default = matched(tmp_path, *words, "vidcorr-r18", "--protocol", "dift+input_size=128")
    np.testing.assert_array_equal(by_protocol, by_name)
    assert (by_protocol != by_default).any()


def test_given_points_are_matched(tmp_path):
    words = ["--model", "raw_colour@colour/4", "--protocol", "dift+input_size=128"]
    found = matched(tmp_path, *words, "--points", "40,30", "150.5,100")
    order = found[:, 0].argsort()
    np.testing.assert_allclose(found[order, :2], [(40, 30), (150.5, 100)])
    np.testing.assert_allclose(found[order, 2:4], [(80, 60), (301, 200)], atol=12)
    pictures = write_pictures(tmp_path)
    assert "the point 200,3 lies outside" in refusal("match", *pictures, "--points", "200,3", "--model", "raw_colour")
    missing = tmp_path / "c.jpg"
    said = refusal("match", missing, missing, "--model", "raw_colour")
    assert "c.jpg: is no picture that can be decoded, or is missing" in said
    refused(SystemExit, "2", main, ["match", "a", "b", "--points", "7"])
