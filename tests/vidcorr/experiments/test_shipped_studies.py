"""Shipped studies: the papers' numbers stand beside the same scores, and each table has both of its benchmarks."""

import pytest

from vidcorr.experiments.reports.study_report import read_study
from vidcorr.experiments.runs.benchmark_choice import read_on
from vidcorr.experiments.runs.config_files import CONFIGS
from vidcorr.videos.digests import text_digest


def in_per_cent(numbers):
    """Return the numbers as the papers print them."""
    return {score: round(100 * number, 1) for score, number in numbers.items()}


@pytest.mark.parametrize("path", sorted((CONFIGS / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_has_the_papers_numbers_beside_scores_that_its_benchmarks_have(path, tmp_path, recorded):
    """The record: study → digest of the printed numbers in per cent, by row, as they were compared with the papers."""
    study = read_study(str(path))
    for name, words in study.evaluate.items():
        text = words[words.index("--on") + 1].partition("=")[0]
        (configured,) = read_on([f"{text}={tmp_path}"])
        assert set(study.scores[name]) <= set(configured.build().score_names), name
    lines = []
    for row in study.rows:
        printed = {name: in_per_cent(study.printed(row, name)) for name in study.evaluate}
        others = {name: in_per_cent(found) for name, found in row.published.items() if name not in study.evaluate}
        lines.append(f"{row.name}: {printed} {others}")
        assert all(numbers.keys() <= set(study.scores[name]) for name, numbers in printed.items())
    assert text_digest("\n".join(lines), 8) == recorded[path.stem]
