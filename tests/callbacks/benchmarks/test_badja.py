"""BADJA from files to scores: PCK by the written predictions and masks, and δ."""

import csv

import numpy as np
import pytest

from callbacks import BadjaBenchmark, TapVidBenchmark
from callbacks.metrics import area_counts
from datamodules.datasets import Badja
from datamodules.synthetic import write_tap_vid
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.tap_vid import write_badja


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_badja(tmp_path_factory.mktemp("data") / "badja")


@pytest.mark.parametrize("stage", [None, ["res2", "res3"]])
def test_pck_is_that_of_the_written_predictions(root, tmp_path, stage):
    spec = "torchvision:resnet18" if stage else "raw_colour"
    benchmark = BadjaBenchmark(root, protocol="fomo", stage=stage)
    scores = benchmark.evaluate(build_feature_extractor(spec, stage=stage, stride=8), tmp_path)
    rows = list(csv.DictReader((tmp_path / "per_sequence.csv").open()))
    for of_stage in stage or [""]:
        videos = []
        for clip in Badja(root):
            with np.load(tmp_path / of_stage / "predictions" / f"{clip.name}.npz", allow_pickle=False) as found:
                own = np.array([60, 40]) / 256
                areas = np.array([clip.area(t) for t in range(clip.num_frames)])
                queries, hidden = found["query_points"], found["target_occluded"]
                places = found["target_points"] * own, found["tracks"] * own
                correct, counted = area_counts(queries, hidden, *places, areas)
                videos.append(correct / counted)
            row = next(r for r in rows if r["Sequence"] == clip.name and r.get("Stage", "") == of_stage)
            assert float(row["PCK@0.2"]) == videos[-1]
        key = "/".join(filter(None, [of_stage, "PCK@0.2"]))
        assert scores[key] == sum(videos) / 2
        assert 0 < scores[key] < 1
    assert {f"badja/{key}" for key in scores} <= set(benchmark.score_keys)


def test_without_masks_it_is_delta_alone(tmp_path):
    path = write_tap_vid(tmp_path / "set", 1, frames=7, size=(48, 64)) / "tapvid_davis.pkl"
    extractor = build_feature_extractor("raw_colour", stride=16)
    scores = BadjaBenchmark(path, protocol="fomo").evaluate(extractor)
    assert scores == TapVidBenchmark(path, "fomo").evaluate(extractor)
