"""`vidcorr match`: known shifts of a picture are found, in pixels of the pictures, whatever their sizes and turns.

Also tests `reports/match.py`, `tracking/picture_matcher.py`.
"""

import csv
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.cli import main
from vidcorr.datasets.spair import MatchPair
from vidcorr.protocols import MatchingProtocol
from vidcorr.results.pictures.pairs import draw_matches
from vidcorr.tracking.picture_matcher import PictureMatcher

RAW = ["--model", "raw_colour@colour/4", "--protocol", "dift+input_size=128"]
TINY = "tests.helpers.encoders:TinyResNet"


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


def test_the_best_matches_of_a_picture_and_its_turned_and_enlarged_copy(tmp_path, monkeypatch, capsys):
    draw = Mock(wraps=draw_matches)
    monkeypatch.setattr("vidcorr.experiments.reports.match.draw_matches", draw)
    found = matched(tmp_path, *RAW, "--best", "12")
    assert 5 <= len(found) <= 12
    np.testing.assert_allclose(2 * found[:, :2], found[:, 2:4], atol=12)  # a cell has 4 to 6 pixels
    assert (np.diff(found[:, 4]) <= 0).all()
    np.testing.assert_array_equal(found, found.round(4))
    _, _, points, others, colours, *_ = draw.call_args.args
    np.testing.assert_allclose(np.column_stack([points, others])[::-1], found[:, :4], atol=1e-4)
    assert (colours[0], colours[-1]) == ([68, 1, 84], [251, 231, 35])  # viridis, with the most similar last
    assert Image.open(tmp_path / "out/matches.png").size == (960, 1280)
    low, high = found[-1, 4], found[0, 4]
    about = f"{len(found)} matches, similarity {low:.3f} (purple) to {high:.3f} (yellow): {tmp_path}"
    assert capsys.readouterr().out.startswith(about)


def test_a_given_point_is_matched_by_the_features_that_a_protocol_chooses(tmp_path):
    words = ["--points", "40.123456,30", "--model"]
    size = "dift+input_size=64"
    by_protocol = matched(tmp_path, *words, TINY, "--protocol", f"{size}+features=res3/4")
    by_name = matched(tmp_path, *words, f"{TINY}@res3/4", "--protocol", size)
    by_default = matched(tmp_path, *words, TINY, "--protocol", size)
    np.testing.assert_array_equal(by_protocol, by_name)
    assert (by_protocol != by_default).any()
    assert by_name[:, :2].tolist() == [[40.1235, 30]]


def matcher(folder, colour, size, protocol):
    """Return a matcher of a picture of noise and the picture on its side."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    files = folder / "a.png", folder / "b.png"
    for file, pixels in zip(files, (noise, noise.transpose(1, 0, 2)), strict=True):
        Image.fromarray(pixels).save(file)
    return PictureMatcher(colour, MatchingProtocol.named(protocol, "spair"), files)


def on_circle(*degrees):
    """Return vectors whose similarities are cosines of the differences of their angles."""
    angles = torch.tensor(degrees).double().deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_matches_are_each_others_most_similar_cells_apart_from_each_other(tmp_path, colour, monkeypatch):
    """Six cells and five: 60° has no partner, and the partners of 30° and 0° lie too close to each other."""
    here = torch.tensor([(10, 21.9), (10, 10), (30, 5), (22, 10), (20, 20), (39, 29)], dtype=torch.float64)
    there = torch.tensor([(2, 3), (4, 5), (6, 7), (8, 9), (1, 1)], dtype=torch.float64)
    cells = (here, on_circle(0, 30, 60, 90, 100, 197)), (there, on_circle(200, 94, 31, 2, 260))
    monkeypatch.setattr(PictureMatcher, "_cells", lambda self, pair, which: cells[which])
    pictures = matcher(tmp_path, colour, (30, 40), "dift")
    best = [(10, 10, 6, 7, 1), (39, 29, 2, 3, 3), (22, 10, 4, 5, 4)]  # at 12 px: 0.6 of the root of 30 × 40 / 3
    for most in (3, 1):
        expected = np.array(best[:most], float)
        expected[:, 4] = np.cos(np.deg2rad(expected[:, 4]))
        np.testing.assert_allclose(pictures.matches([], most), expected)

    found = np.array([(5.9, 7), (2, 3.1)])
    monkeypatch.setattr(PictureMatcher, "match", lambda self, pair: found[: len(pair.points[0])])
    points = [(0, 0), (39.5, 29.5)]  # of 30° and 197°
    expected = np.column_stack([points, found, np.cos(np.deg2rad([1, 3]))])
    np.testing.assert_allclose(pictures.matches(points, 1), expected)
    for outside in ((40, 3), (3, 30), (-1, 3), (3, -1)):
        refused(ValueError, r"the point .* lies outside .*a\.png, 40 x 30 px", pictures.matches, [outside], 1)
    refused(ValueError, "match: best must be at least 1, got 0", pictures.matches, [], 0)


def test_each_picture_is_encoded_once(tmp_path, colour, monkeypatch):
    pictures = matcher(tmp_path, colour, (30, 40), "dift+input_size=64")
    maps = pictures.maps
    encoded = []
    monkeypatch.setattr(pictures, "maps", lambda images: encoded.append(images) or maps(images))
    for points in ([(3, 4)], [(5, 6)], []):
        assert len(pictures.matches(points, 1)) == 1
    assert len(encoded) == 2


PADDED = [("sd-dino+input_size=128", 8, 8, slice(4, -4)), ("dift+input_size=[32,128]", 12.5, 25, slice(None))]


@pytest.mark.parametrize(("protocol", "first", "step", "rows"), PADDED)
def test_cells_are_those_of_the_picture_without_its_padding(tmp_path, colour, protocol, first, step, rows):
    """A row whose centres lie on the picture's edge is not the picture's: 256 × 200 px in the middle of 128 × 128."""
    pictures = matcher(tmp_path, colour, (200, 256), protocol)
    pair = MatchPair("pair", "", pictures._files, ((200, 256), (256, 200)), (np.zeros((0, 2)),) * 2, ())
    centres, vectors = pictures._cells(pair, 0)
    grid = [(x, y) for y in np.arange(first, 200, step) for x in range(4, 256, 8)]
    np.testing.assert_allclose(centres, grid, rtol=1e-6)
    features = pictures.features_of(pair, 0)[:, rows].flatten(1)
    torch.testing.assert_close(vectors, features.div(features.norm(dim=0)).T)
