"""Matching of keypoints against the numbers of the five public codes: tests/golden/match.

Also tests `metrics/matching.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers.references import GOLDEN
from vidcorr.backbones import Normalise
from vidcorr.functional import match_keypoints, matching
from vidcorr.metrics.matching import averages, correct_points, drawn_indices, reference_length
from vidcorr.protocols import MatchingProtocol

FOLDER = GOLDEN / "match"


class Case:
    """A case of a golden file; a variant has outputs only, and its inputs are another case's."""

    def __init__(self, file, case, inputs=None):
        self._file, self._case, self._inputs = np.load(FOLDER / file), case, inputs or case

    def __getitem__(self, key):
        name = f"{self._case}_{key}"
        return self._file[name if name in self._file else f"{self._inputs}_{key}"]

    def features(self, key):
        """Return an array of features as float32."""
        return torch.from_numpy(self[key].astype(np.float32))

    @property
    def categories(self):
        """Category per pair."""
        return [str(self["img_cat"][pair[0]]) for pair in self["pairs"]]

    def draws(self, protocol):
        """Return the pairs that a protocol averages."""
        return drawn_indices(self.categories, [{"viewpoint": int(view)} for view in self["pair_vp"]], protocol)

    def size(self, image):
        """Return (H, W) of a picture."""
        return tuple(self["img_wh"][image, ::-1].tolist())

    def rows(self, pair):
        """Return the rows of a pair's points."""
        return np.flatnonzero(self["kp_pair"] == pair)

    def matched(self, maps, protocol):
        """Match all points: x, y in pixels of the targets, float64, row by row."""
        found = np.zeros((len(self["kp_pair"]), 2))
        for pair, (source, target) in enumerate(self["pairs"].tolist()):
            rows = self.rows(pair)
            points = torch.from_numpy(self["src"][rows])
            sizes = self.size(source), self.size(target)
            found[rows] = match_keypoints(maps[source], maps[target], points, *sizes, protocol).numpy()
        return found


def fused(case):
    """Return GeoAware's features: Stable Diffusion's three blocks and DINOv2's, each of unit length."""
    first = case.features("s3")
    others = [F.interpolate(case.features(key), first.shape[-2:], mode="bilinear") for key in ("s4", "s5")]
    diffusion, dino = torch.cat([first, *others], dim=1), case.features("dino")
    return torch.cat([part / (part.norm(dim=1, keepdim=True) + 1e-10) for part in (diffusion, dino)], dim=1)


def averages_of(case, correct, drawn):
    """Return the averages of the pairs that are drawn."""
    right, counts = np.array([correct[n].sum(0) for n in drawn]), np.array([len(correct[n]) for n in drawn])
    return averages(right.reshape(len(drawn), -1), counts, [case.categories[n] for n in drawn])


def check(case, found, protocol, drawn=None, **keys):
    """Require the golden answers, point by point, and averages: name → key of the file; return the correct points.

    Of pairs that are drawn, only the averages are known.
    """
    correct = []
    for pair, (_, target) in enumerate(case["pairs"].tolist()):
        rows, size = case.rows(pair), case.size(target)
        length = reference_length(case["img_bndbox"][target], size, protocol)
        correct.append(correct_points(found[rows], case["trg"][rows], length, size, protocol))
        if drawn is None:
            np.testing.assert_array_equal(correct[-1], case["correct"][rows])
    scores = averages_of(case, correct, drawn or range(len(correct)))
    for average, key in keys.items():
        np.testing.assert_allclose(scores[average], case[key], atol=1e-6)
    return correct


def padded(name, side):
    return MatchingProtocol.named(name).with_changes(input_size=side)


TABLES = json.loads(Path(__file__).with_name("matching.json").read_text())
FILES = TABLES["files"]
LEVELS = ("viewpoint=0", "viewpoint=1", "viewpoint=2", "")
CASES = [(family, name) for family in FILES for name in ("c0", "c1", "c2", "tie")] + [("sd-dino", "pascal")]
CASES.remove(("insid3", "c2"))  # without the directions of a black picture


@pytest.mark.parametrize(("family", "name"), CASES)
def test_matches_and_averages_of_the_public_codes(family, name):
    case = Case(f"{FILES[family]}.npz", name)
    protocol = MatchingProtocol.named(family, "pf_pascal" if name == "pascal" else "spair")
    maps, exact = case.features("feats"), slice(None)
    if family == "dift":
        width, height = case["img_size"].tolist()
        protocol = protocol.with_changes(input_size=[height, width], thresholds=case["alphas"].tolist())
        exact = ~case["tied"] if name != "tie" else exact
    else:
        protocol = protocol.with_changes(input_size=int(case["size" if family == "sd-dino" else "image_size"]))
    if family == "probe3d":
        protocol = protocol.with_changes(thresholds=case["alphas"].tolist())
    if (family, name) == ("sd-dino", "c2"):
        maps = torch.cat([F.normalize(case.features("feats_sd"), dim=1), F.normalize(maps, dim=1)], dim=1)
    found = case.matched(maps, protocol)
    expected = case["pred" if family in ("dift", "insid3") else "pred_orig"]
    np.testing.assert_allclose(found[exact], expected[exact], rtol=0, atol=0 if family == "dift" else 1e-3)
    correct = check(case, found, protocol, **TABLES["averages"][family])
    if family == "dift":
        x0, y0, x1, y1 = case["tie_box"].T
        assert ((found[:, 0] >= x0) & (found[:, 0] <= x1) & (found[:, 1] >= y0) & (found[:, 1] <= y1)).all()
    if family == "probe3d":
        drawn = case.draws(protocol)
        assert sorted(drawn[""]) == case.draws(protocol.with_changes(pairs="all"))[""]  # OmniProbe's rule
        for level, expected in zip(LEVELS, case["recall_mean"], strict=True):
            recall = 100 * averages_of(case, correct, drawn[level])["class"][1] if drawn.get(level) else np.nan
            np.testing.assert_allclose(recall, expected, atol=1e-4)


@pytest.mark.parametrize("name", TABLES["geoaware"])
def test_matches_are_those_of_geoaware(name):
    inputs = "c0" if name in ("pascal",) or name.startswith("c0") else name.split("_")[0]
    case = Case("geoaware.npz", name, inputs)
    benchmark = "pf_pascal" if name == "pascal" else "spair"
    protocol = MatchingProtocol.named("geoaware", benchmark).with_changes(**TABLES["geoaware"][name])
    found = case.matched(fused(case), protocol)
    if name == "tie_window":
        for pair, (_, target) in enumerate(case["pairs"].tolist()):
            frame = matching.canvas_points(torch.from_numpy(found[case.rows(pair)]), case.size(target), protocol)
            np.testing.assert_allclose(frame, case["pred_frame"][case.rows(pair)], atol=5e-3)
        check(case, found, protocol)
        return
    np.testing.assert_allclose(found, case["pred_orig"], atol=1e-3)
    correct = check(case, found, protocol, image="weighted")  # weighted by pairs
    if name == "c0":
        scores = averages_of(case, correct, range(len(correct)))
        np.testing.assert_allclose(scores["point"], Case("geoaware.npz", "c0_kpt")["weighted"], atol=1e-6)


def test_insid3_counts_equal_distances():
    case, protocol = Case("insid3_spair.npz", "measure"), MatchingProtocol.named("insid3")
    correct = correct_points(case["pred"], case["trg"], float(case["thr"]), (64, 64), protocol)
    np.testing.assert_array_equal(correct, case["correct"])


@pytest.mark.parametrize(("window", "kernel"), [(-7, 7.0), (0, None)])
@pytest.mark.parametrize("name", ["c0", "c1", "c2"])
def test_probe3d_covers_omniprobes_soft_argmax(name, window, kernel, golden):
    """Off by default there; all cells, or a Gaussian of 7 cells. Its rule otherwise is probe3d+pairs=all."""
    expected = golden("omniprobe/spair")
    case = Case("probe3d_spair.npz", name)
    changes = {"temperature": 0.02, "pairs": "all", "decoding": "expectation", "kernel": kernel}
    protocol = padded("probe3d", int(case["image_size"])).with_changes(**changes)
    found = case.matched(case.features("feats"), protocol)
    for pair, (_, target) in enumerate(case["pairs"].tolist()):
        rows = case.rows(pair)
        unit = found[rows] / max(case.size(target))
        np.testing.assert_allclose(unit, expected[f"{name}_window{window}_pred_unit"][rows], atol=1e-5)


def test_pairs_of_a_class_are_drawn_as_by_probe3d():
    case = Case("probe3d_spair.npz", "c0_subset2", "c0")
    protocol = padded("probe3d", 256).with_changes(pairs_per_class=2)
    drawn = case.draws(protocol)
    for level, chosen in zip(LEVELS, case["chosen"].swapaxes(0, 1), strict=True):
        assert sorted(drawn[level]) == sorted(chosen[chosen >= 0].tolist())
    correct = check(case, case.matched(case.features("feats"), protocol), protocol, drawn[""])
    recall = 100 * averages_of(case, correct, drawn[""])["class"][0]
    np.testing.assert_allclose(recall, case["recall_mean"][3], atol=1e-4)


@pytest.mark.parametrize("family", TABLES["inputs"])
def test_the_network_sees_the_pictures_of_the_original_codes(family):
    file, protocol = np.load(FOLDER / "inputs.npz"), MatchingProtocol.named(TABLES["inputs"][family])
    normalise = Normalise(*[[0.5] * 3] * 2) if family.startswith("dift") else Normalise()
    for number in range(3):
        image = torch.from_numpy(file[f"img{number}"]).permute(2, 0, 1)
        seen = matching.prepare_picture(image, protocol)
        normalised = normalise(seen.double()[None] / 255)[0]
        key = f"{family}_{number}"
        assert list(normalised.shape) == file[f"{key}_shape"].tolist()
        step = next(int(known.removeprefix(f"{key}_s")) for known in file if re.fullmatch(rf"{key}_s\d+", known))
        np.testing.assert_allclose(normalised[:, ::step, ::step], file[f"{key}_s{step}"], atol=1e-5)
        np.testing.assert_allclose(normalised.mean((1, 2)), file[f"{key}_mean_c"], atol=1e-5)
        if family == "sddino840":
            np.testing.assert_array_equal(seen[:, ::12, ::12].permute(1, 2, 0), file[f"{key}_u8_s12"])
