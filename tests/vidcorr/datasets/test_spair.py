"""SPair-71k and PF-PASCAL as the public codes read them, by golden/match, and their faults by name."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.datasets.spair import read_pf_pascal, read_spair
from vidcorr.functional.matching import canvas_points
from vidcorr.metrics.matching import reference_length
from vidcorr.protocols import MatchingProtocol
from vidcorr.videos.files import DataError

READER = GOLDEN / "match/reader"
EXPECTED = json.loads((READER / "expected.json").read_text())


def in_frame(pair, side, protocol):
    return canvas_points(torch.from_numpy(pair.points[side]), pair.sizes[side], protocol).numpy()


def test_pairs_of_spair():
    pairs = read_spair(READER / "SPair-71k")
    assert [pair.name for pair in pairs] == [entry["pair"] for entry in EXPECTED["insid3"]]
    for pair, entry in zip(pairs, EXPECTED["insid3"], strict=True):
        np.testing.assert_array_equal(pair.points[0], entry["src_kps"])
        np.testing.assert_array_equal(pair.points[1], entry["trg_kps"])
        length = reference_length(pair.box, pair.sizes[1], MatchingProtocol.named("insid3"))
        assert length == entry["pck_thresh"]
    assert pairs[0].difficulty == {"viewpoint": 1, "scale": 1, "truncation": 2, "occlusion": 2}


def test_points_in_the_frames_of_the_codes():
    pairs = {pair.category: pair for pair in read_spair(READER / "SPair-71k")}
    geoaware, probe3d = MatchingProtocol.named("geoaware"), MatchingProtocol.named("probe3d")
    for category, entry in EXPECTED["geoaware_spair_840"].items():
        pair = pairs[category]
        rows = [entry["used"].index(number) for number in pair.ids]
        for side in (0, 1):
            expected = np.array(entry["kps"][side])[rows, :2]
            np.testing.assert_allclose(in_frame(pair, side, geoaware), expected, atol=1e-3)
        length = reference_length(pair.box, pair.sizes[1], geoaware)
        assert length * 840 / max(pair.sizes[1]) == pytest.approx(entry["thresholds"][0], abs=1e-3)
    for entry in EXPECTED["probe3d_800"]:
        pair = next(pair for pair in pairs.values() if pair.name == entry["pair"])
        for side, key in enumerate(("src_kps", "trg_kps")):
            expected = np.array(entry[key])[list(pair.ids), :2]
            np.testing.assert_array_equal(in_frame(pair, side, probe3d), expected)


def test_whole_pixels_are_moved_by_the_padding():
    protocol = MatchingProtocol.named("probe3d+input_fit=centred", "spair")
    side = protocol.input_sides[0]
    points = canvas_points(torch.tensor([[0.0, 0.0], [199.9, 99.9]]), (100, 200), protocol)
    assert points.tolist() == [[0, side / 4], [199 * side // 200, 99 * side // 200 + side / 4]]


def test_pairs_of_pf_pascal(tmp_path):
    root = tmp_path / "PF-dataset-PASCAL"
    shutil.copytree(READER / "PF-dataset-PASCAL", root)
    (root / "test_pairs_pf_different_views.csv").write_text("not the list\n")
    refused(DataError, r"no such file, named in .*test_pairs_pf_pascal\.csv", read_pf_pascal, root)
    (root / "JPEGImages").mkdir()
    for file in (READER / "SPair-71k" / "JPEGImages").glob("*/*.jpg"):
        shutil.copy(file, root / "JPEGImages")
    pairs = read_pf_pascal(root)
    assert [pair.category for pair in pairs] == ["cat", "horse", "train"]
    assert pairs[0].sizes == read_spair(READER / "SPair-71k")[0].sizes
    assert pairs[0].box is None
    np.testing.assert_array_equal(pairs[1].points[0][0], [0.5, 26.5])
    np.testing.assert_array_equal(pairs[1].points[1][-1], [41.5, 52.5])
    file = root / "test_pairs_pf_pascal.csv"
    heading, first, *_ = file.read_text().splitlines()
    file.write_text(heading)
    refused(DataError, r"test_pairs_pf_pascal\.csv: the list is empty", read_pf_pascal, root)
    pictures = first.split(",")
    file.write_text("\n".join([heading, ",".join([*pictures[:2], "0", *pictures[3:]])]))
    refused(DataError, "line 2: is not a pair of pf_pascal: has no 0", read_pf_pascal, root)
    own = None, pairs[0].sizes[1], MatchingProtocol.named("dift")
    refused(ValueError, "measures by the object's box, which the data lack", reference_length, *own)


def test_an_annotation_of_another_form_is_refused(tmp_path):
    shutil.copytree(READER / "SPair-71k", tmp_path / "set")
    next((tmp_path / "set/PairAnnotation/test").iterdir()).write_text('{"category": "cat"}')
    refused(DataError, "SPair-71k", read_spair, tmp_path / "set")
