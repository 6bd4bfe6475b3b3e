"""`vidcorr score` gives the numbers of each data set's official code and of the published packages.

Also tests `metrics/classes.py`, `metrics/outlines.py`.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.metrics.rules import RULES as KNOWN
from vidcorr.metrics.scoring import Metadata
from vidcorr.scoring.mask_scores import score
from vidcorr.videos.files import DataError


def write(mask, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(file)


@pytest.mark.parametrize("rules", KNOWN.values(), ids=KNOWN)
def test_rules_are_pooled_if_a_score_is_no_mean_of_a_column(rules):
    """Only such scores need the jackknife for their interval."""
    rng = np.random.default_rng(0)
    videos = {name: {"objects": {"1": {"category": name}}} for name in "abc"}
    rules = replace(rules, read_metadata=lambda: Metadata(videos, {"a"}))
    objects = {(name, 1): rules.summarise(rng.random((8, len(rules.measures)))) for name in "abc"}
    means = {name: np.mean([values[name] for values in objects.values()]) for name in objects["a", 1]}
    table = rules.scores(objects)
    table.pop("J&F-Mean", None)  # a mean of two columns
    assert rules.pooled == any(name not in means or abs(table[name] - means[name]) > 1e-9 for name in table)


VOS_BENCHMARK = json.loads((GOLDEN / "score_rules/vos_benchmark.json").read_text())
"""Scores of `write_masks(…, seed=0)` by vos-benchmark: of the "inner" frames, or with "keep_ends"."""


def write_masks(root, seed):
    """Write masks with late objects, absences, false alarms, a number that the truth lacks, 255, and several sizes."""
    rng = np.random.default_rng(seed)
    for video, (height, width) in enumerate([(40, 64), (33, 21), (9, 90)]):
        numbers = [1, 4, 255][: video + 1]
        y, x = np.mgrid[:height, :width]
        for t in range(6):
            truth, mine = np.zeros((2, height, width), np.uint8)
            for k, number in enumerate(numbers):
                centre = rng.uniform(0, (height, width))
                disk = np.hypot((y - centre[0]) / height, (x - centre[1]) / width) < rng.uniform(0.1, 0.4)
                shifted = np.roll(disk, rng.integers(-2, 3, 2), (0, 1))
                if t >= 2 * k and rng.random() < 0.8:
                    truth[disk] = number
                if rng.random() < 0.8:
                    mine[shifted] = number
            mine[:2, :3] = 77
            for name, mask in (("truth", truth), ("mine", mine)):
                write(mask, root / name / f"video{video}" / f"{t:05d}.png")


@pytest.mark.parametrize("frames", ["inner", "keep_ends"])
def test_masks_score_as_vos_benchmark_printed(frames, tmp_path):
    write_masks(tmp_path, seed=0)
    result = score(tmp_path / "truth", tmp_path / "mine", "vos-benchmark", keep_ends=frames == "keep_ends")
    found = dict(result.scores)
    for row in result.rows:
        found |= {f"{name}/{row.video}/{row.object}": row.values[f"{name}-Mean"] for name in "JF"}
    assert found == pytest.approx(VOS_BENCHMARK[frames], abs=1e-12)


def test_a_video_without_objects_is_left_out_as_by_vos_benchmark_or_refused(tmp_path):
    write_masks(tmp_path, seed=0)
    for t in range(1, 5):
        Image.fromarray(np.zeros((33, 21), np.uint8)).save(tmp_path / "truth" / "video1" / f"{t:05d}.png")
    words = (tmp_path / "truth", tmp_path / "mine", "vos-benchmark")
    refused(DataError, "video1: rules vos-benchmark score no object here", score, *words)
    found = score(*words, allow_missing=True)
    assert found.data["missing_videos"] == ["video1"]
    of_videos = [value for key, value in VOS_BENCHMARK["inner"].items() if key[:8] in ("J/video0", "J/video2")]
    assert found.scores["J"] == pytest.approx(np.mean(of_videos))
