"""SOCO by the numbers of OmniProbe's scripts, golden/soco.

Also tests `datasets/soco.py`, `metrics/concepts.py`.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.references import GOLDEN, golden
from tests.helpers.refusal import refused
from vidcorr import Result, SocoBenchmark
from vidcorr.datasets.soco import read_soco
from vidcorr.tracking.keypoint_matcher import KeypointMatcher
from vidcorr.videos.files import DataError

ROOT = GOLDEN / "soco" / "reader" / "SOCOv1"


def made(data, case, monkeypatch, soft=False, average="image"):
    """Return the benchmark of a case, with its side and soft argmax, and a network of its stored features."""
    changes = {"input_size": int(data[f"{case}_side"]), "average": average}
    window = int(data[f"{case}_window"])
    if soft:
        changes |= {"decoding": "expectation", "temperature": 0.02}
        if window > 0:
            changes |= {"window": window, "window_outside": "excluded"}
        elif window < 0:
            changes["kernel"] = float(-window)
    benchmark = SocoBenchmark(ROOT, changes=changes, pairs=str(data[f"{case}_set"]))
    maps = torch.from_numpy(data[f"{'c0' if case == 'c1' else case}_feats"])
    of_pictures = {Path(name).stem: features for name, features in zip(data["images"].tolist(), maps, strict=True)}
    monkeypatch.setattr(KeypointMatcher, "features_of", lambda _, pair, which: of_pictures[pair.files[which].stem])
    return benchmark, nn.AvgPool2d(int(data[f"{case}_patch"]))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("case", ["c2", "c0", "c1", "c3"])
def test_scores_are_those_of_the_scripts(case, tmp_path, monkeypatch):
    data = golden("soco/soco")
    benchmark, network = made(data, case, monkeypatch)
    result = benchmark.evaluate(network, tmp_path)
    names = ("SOC@0.1", "CC@0.1", "SOC@0.1-class", "CC@0.1-class", "geometric@0.1", "geometric-several@0.1")
    expected = [*data[f"{case}_hard_mean"], *data[f"{case}_keypoint_mean"]]
    expected += [data[f"{case}_geo_mean"], data[f"{case}_geo_multi_mean"]]
    np.testing.assert_allclose([100 * result.scores[name] for name in names], expected, atol=1e-4)
    assert Result.load(tmp_path) == result
    assert len(list((tmp_path / "animations").glob("*.webp"))) == 3
    of_points, network = made(data, case, monkeypatch, average="class")
    assert of_points.evaluate(network).scores["SOC@0.1"] == result.scores["SOC@0.1-class"]
    soft, network = made(data, case, monkeypatch, soft=True)
    scores = soft.evaluate(network).scores
    np.testing.assert_allclose([100 * scores[name] for name in names[:2]], data[f"{case}_soft_mean"], atol=1e-4)


def test_constant_features_give_the_floor_by_category():
    """The first of equal cells, at the corner, is always found: a number of the annotation alone."""

    constant = nn.AvgPool2d(16)
    constant.register_forward_hook(lambda network, images, found: torch.ones_like(found))
    with pytest.warns(UserWarning, match="scores are chance"):
        result = SocoBenchmark(ROOT).evaluate(constant)
    assert "all cells of a first frame have the same features: scores are chance" in result.doubts
    expected = golden("soco/soco")["floor_by_category"]
    for category, (of_name, of_concept) in zip(("bench", "cart", "lamp"), expected, strict=True):
        scores = SocoBenchmark(ROOT).scores([row for row in result.rows if row.video == category])
        assert [100 * scores["SOC@0.1"], 100 * scores["CC@0.1"]] == pytest.approx([of_name, of_concept], abs=1e-4)


def test_what_has_no_effect_and_faulty_data_are_refused(tmp_path):
    refused(ValueError, "SocoBenchmark: pairs must be 'all'", SocoBenchmark, ROOT, changes={"pairs": "subset"})
    message = "SocoBenchmark: average must be 'image' or 'class'"
    refused(ValueError, message, SocoBenchmark, ROOT, changes={"average": "point"})
    refused(DataError, "PairAnnotations/cross: holds no pair", read_soco, tmp_path, "cross")
    shutil.copytree(ROOT, tmp_path / "set")
    next((tmp_path / "set/PairAnnotations/intra/lamp").iterdir()).write_text('{"category": "lamp"}')
    refused(DataError, "is not a pair of SOCO", read_soco, tmp_path / "set")
