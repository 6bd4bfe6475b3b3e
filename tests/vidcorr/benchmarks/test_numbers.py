"""Every benchmark on one small sequence by raw colour, from files to scores and files: the fast tier guards it.

Also tests `benchmarks/output.py`.
"""

import json

import pytest

from tests.helpers.benchmark_data import arguments_of, benchmark_classes
from vidcorr.benchmarks.masks import MaskBenchmark

SMALLER = {
    "JhmdbBenchmark": {"changes": {"input_size": 96, "context": 2, "radius": 5}},
    "YoutubeVosBenchmark": {"changes": {"radius": 3, "context": 2}},
    "TapVidBenchmark": {"stride": 4},
    "BadjaBenchmark": {"stride": 4},
    "NaviBenchmark": {"changes": {"input_size": (64, 64)}},
    "MatchBenchmark": {"changes": {"input_size": 64, "thresholds": [0.02, 0.1, 0.3, 0.8]}},
    "PfPascalBenchmark": {"changes": {"input_size": 128, "thresholds": [0.1, 0.35, 0.4, 0.6]}},
    "PfWillowBenchmark": {"changes": {"input_size": 128, "thresholds": [0.8, 1.0, 1.5, 2.0]}},
}
"""Benchmark → arguments that replace those of `arguments_of`."""
SCORES = {
    "BadjaBenchmark": {"PCK@0.2": 0.3621, "average_jaccard": 0.0872, "pts_within_4": 0.1552, "grid_limit": 1.0},
    "DavisBenchmark": {"J&F-Mean": 0.2286, "J-Mean": 0.3004, "J-Recall": 0.25, "J-Decay": 0.0935, "F-Mean": 0.1567},
    "JhmdbBenchmark": {"PCK@0.1": 0.3556, "PCK@0.2": 0.4222, "PCK@0.3": 0.4667, "PCK@0.4": 0.5333, "PCK@0.5": 0.7333},
    "MatchBenchmark": {"PCK@0.02": 0.0, "PCK@0.1": 0.5, "PCK@0.8-class": 1.0, "PCK@0.02-viewpoint-0": 0.0},
    "NaviBenchmark": {"recall@1cm": 0.3489, "recall@2cm": 0.4619, "recall@25px": 0.6093, "recall@2cm-0-30": 0.535},
    "OtbBenchmark": {"success": 0.9365, "precision@20px": 1.0, "success@0.5": 1.0},
    "PfPascalBenchmark": {"PCK@0.1": 0.0, "PCK@0.35": 0.5, "PCK@0.6-point": 1.0},
    "PfWillowBenchmark": {"PCK@1": 0.0, "PCK@1.5": 0.1, "PCK@2-weighted": 0.3},
    "ScanNetBenchmark": {"recall@5px": 0.48, "recall@10px": 0.504, "recall@20px": 0.534},
    "SocoBenchmark": {"SOC@0.1": 0.0, "CC@0.1": 0.0, "geometric@0.1": 0.6667},
    "TapVidBenchmark": {"occlusion_accuracy": 0.0833, "average_pts_within_thresh": 0.0, "grid_limit": 0.9},
    "VipBenchmark": {"mIoU": 0.8535, "mAcc": 0.8983, "aAcc": 0.9577, "AP-unofficial": 0.75, "AP-unofficial@0.8": 0.25},
    "VosBenchmark": {"J&F-Mean": 0.2052, "J-Mean": 0.2641, "F-Mean": 0.1463, "F-Decay": 0.0313},
    "YoutubeVosBenchmark": {"Overall": 0.0376, "J-Seen": 0.0, "J-Unseen": 0.1033, "F-Unseen": 0.0471},
}
"""Benchmark → scores that the code of the release before gives too."""
PICTURES = ["overlays/*.png", "animations/*.json", "animations/*.webp"]
MASKS = [*PICTURES, "animations/*.truth.webp", "predictions/*/*.png"]
FILES = {
    "BadjaBenchmark": [*PICTURES, "predictions/*.npz"],
    "DavisBenchmark": MASKS,
    "JhmdbBenchmark": [*MASKS[:-1], "predictions/*.csv"],
    "MatchBenchmark": [*PICTURES[1:], "per_category.csv", "predictions/*.json"],
    "NaviBenchmark": [*PICTURES[1:], "predictions/*.json"],
    "OtbBenchmark": [*PICTURES, "predictions/*.txt"],
    "PfPascalBenchmark": [*PICTURES[1:], "per_category.csv", "predictions/*.json"],
    "PfWillowBenchmark": [*PICTURES[1:], "per_category.csv", "predictions/*.json"],
    "ScanNetBenchmark": [*PICTURES[1:], "predictions/*.json"],
    "SocoBenchmark": [*PICTURES[1:], "predictions/*.json"],
    "TapVidBenchmark": [*PICTURES, "predictions/*.npz"],
    "VipBenchmark": [f"{part}/{file}" for part in ("semantic", "instance") for file in ("overlays/*.png", MASKS[-1])]
    + [f"animations/{part}/{file}" for part in ("semantic", "instance") for file in ("*.json", "*.webp")],
    "VosBenchmark": MASKS,
    "YoutubeVosBenchmark": MASKS,
}
"""Benchmark → patterns of its files, beside those of every result."""


def small(kind, folder):
    return kind(**arguments_of(kind, folder) | SMALLER.get(kind.__name__, {}), limit_sequences=1)


def cases():
    """Every benchmark; ScanNet's frames of 640 × 480 px take long."""
    for kind in benchmark_classes():
        marks = [pytest.mark.slow] if kind.__name__ == "ScanNetBenchmark" else []
        yield pytest.param(kind, id=kind.__name__, marks=marks)


@pytest.mark.parametrize("kind", list(cases()))
def test_scores_and_files(kind, tmp_path):
    """Scores by the code of each source, and a result's files."""
    output = tmp_path / "out"
    benchmark = small(kind, tmp_path / "data")
    result = benchmark.evaluate("raw_colour", output)
    assert list(result.conditions) == [*benchmark.conditions(result.data), f"1 {benchmark.unit}"]
    assert len(result.sequences) == 1
    has_columns = kind.__name__ != "YoutubeVosBenchmark"  # whose scores are of groups of objects
    assert bool(result.values(result.main_scores()[0])) == has_columns
    if isinstance(benchmark, MaskBenchmark):
        assert result.data["rules"] == benchmark.scoring_rules.stated()
    assert {key: result.scores[key] for key in SCORES[kind.__name__]} == pytest.approx(SCORES[kind.__name__], abs=2e-3)
    assert all(json.loads(file.read_text())["caption"] for file in output.rglob("animations/**/*.json"))
    found = {path for path in output.rglob("*") if path.is_file()}
    for pattern in ("results.json", "report.html", "per_sequence.csv", *FILES[kind.__name__]):
        matching = set(output.glob(pattern))
        assert matching
        found -= matching
    assert not found
