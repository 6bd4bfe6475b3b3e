"""`vidcorr score` gives the numbers of each data set's official code and of the published packages.

Also tests `metrics/classes.py`, `metrics/outlines.py`.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.helpers.references import GOLDEN, golden
from tests.helpers.refusal import refused
from vidcorr.metrics.outlines import object_outlines
from vidcorr.metrics.rules import RULES as KNOWN
from vidcorr.metrics.scoring import Metadata
from vidcorr.scoring.masks import score
from vidcorr.videos.files import DataError

RULES = {"lvos": "lvos", "lvos-2023": "lvos", "vost": "vost", "sa-v": "sav", "mose-v2": "mose"}
"""Rules → file of their golden numbers."""
SHIFTED = {("mose-v2", "missing_file"), ("mose-v2", "missing_first")}
"""Cases in which the official code takes the following frames for the missing one; here they are refused."""


def official(rules):
    """Return the official numbers of each case of the rules."""
    block = "cases_2023" if rules == "lvos-2023" else "cases"
    return json.loads((GOLDEN / f"score_rules/{RULES[rules]}.json").read_text())[block]


def cases():
    """Rules and case; the case "good" of each rules is fast."""
    for rules in RULES:
        for case in official(rules):
            yield pytest.param(rules, case, marks=() if case == "good" else pytest.mark.slow)


def write(mask, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(file)


def write_tree(arrays, tree, root):
    for key in (key for key in arrays if key.startswith(f"tree_{tree}__")):
        for name, mask in zip(arrays[key.replace("tree_", "names_", 1)], arrays[key], strict=True):
            write(mask, root / key.removeprefix(f"tree_{tree}__") / f"{name}.png")


def lay_out(rules, case, root):
    """Write truth, predictions and metadata of a case; return the arguments of `score`."""
    arrays = golden(f"score_rules/{RULES[rules]}")
    wanted = json.loads(str(arrays[f"case_{case}"]))
    write_tree(arrays, wanted["gt"], root / "truth")
    write_tree(arrays, wanted["pred"], root / "mine")
    for path in wanted.get("remove", ()):
        victim = root / "mine" / path
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    for path, key in wanted.get("put", {}).items():
        write(arrays[key], root / "mine" / path)
    arguments = {"truth": root / "truth", "predictions": root / "mine", "rules": rules}
    meta = "meta" if rules == "mose-v2" else f"meta_{wanted.get('meta')}"
    if meta in arrays:
        (root / "meta.json").write_text(str(arrays[meta]))
        arguments["meta"] = root / "meta.json"
    if "unseen" in wanted:
        arguments["unseen"] = set(arrays[f"unseen_{wanted['unseen']}"].tolist())
    return arguments | {"keep_ends": not wanted.get("skip", True)}


@pytest.mark.parametrize(("rules", "case"), list(cases()))
def test_each_case_scores_as_the_official_code_or_is_refused(rules, case, tmp_path):
    expected = official(rules)[case]
    arguments = lay_out(rules, case, tmp_path)
    if case == "missing_video":
        refused(DataError, "no such folder of predictions", score, **arguments)
    if case == "missing_video" and "error" in expected:  # ours leaves the video out
        removed = json.loads(str(golden(f"score_rules/{RULES[rules]}")[f"case_{case}"]))["remove"]
        assert score(**arguments, allow_missing=True).data["missing_videos"] == removed
        return
    if case == "rgb":  # a black frame in RGB is read here
        assert 0 < score(**arguments).scores["J-Mean"] < official(rules)["good"]["J-Mean"]
        return
    if "error" in expected or (rules, case) in SHIFTED:
        refused(DataError, ".", score, **arguments, allow_missing="strict" not in case)
        return
    found = score(**arguments, allow_missing=True).flat_scores()
    scale = 0.01 if rules == "sa-v" else 1.0
    compared = {key: value for key, value in expected.items() if "frames/" not in key and "rounded" not in key}
    assert compared
    for key, value in compared.items():
        wanted = np.nan if value is None else value * scale
        assert found[key] == pytest.approx(wanted, abs=1e-9, nan_ok=True), key


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


@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
@pytest.mark.parametrize("name", ["naf", "raysup"])
@pytest.mark.sampled(3)
def test_naf_scores_as_the_scorers_of_feature_upsamplers(golden, tmp_path, name, case):
    """Objects that enter later count, and one that is away in truth and prediction has J = 1 and F = 0."""
    arrays = golden(f"protocols/protocol_{name}_davis")
    for folder, key in (("truth", "gt"), ("mine", "masks")):
        for t, mask in enumerate(arrays[f"{case}_{key}"]):
            write(mask, tmp_path / folder / "video" / f"{t:05d}.png")
    found = score(tmp_path / "truth", tmp_path / "mine", "naf").scores
    keys = ("J&F-Mean", *(f"{measure}-{value}" for measure in "JF" for value in ("Mean", "Recall", "Decay")))
    np.testing.assert_allclose([found[key] for key in keys], arrays[f"{case}_table"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ["pairs0", "pairs1"])
def test_naf_measures_pairs_as_the_original(golden, case):
    """Shifted, empty and full masks, dots, holes, lines, noise, and masks along the picture's edge."""
    arrays = golden("protocols/protocol_raysup_davis")
    pairs = zip(arrays[f"{case}_pred"], arrays[f"{case}_gt"], strict=True)
    found = [KNOWN["naf"].measure(*(object_outlines(mask, [1])[1] for mask in pair), None) for pair in pairs]
    np.testing.assert_allclose(np.array(found).T, arrays[f"{case}_JF_frames"][0], rtol=0, atol=1e-9)


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
    found = score(tmp_path / "truth", tmp_path / "mine", "vos-benchmark", keep_ends=frames == "keep_ends").flat_scores()
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
