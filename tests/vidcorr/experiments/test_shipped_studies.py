"""Shipped studies: the papers' numbers stand beside the same scores, and each table has both of its benchmarks."""

import pytest

from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.experiments.config_files import CONFIGS
from vidcorr.experiments.study import read_study
from vidcorr.videos.digests import text_digest

STUDIES = sorted((CONFIGS / "studies").glob("*.yaml"))
# of the printed numbers, row by row, as they were compared with the papers
PRINTED = {
    "vfs_table2": "ed4cfd22",
    "vfs_table3": "cc531f64",
    "vfs_table4": "e5018e85",
    "vfs_table5": "e3f3297c",
    "vfs_table6": "e3a4291e",
    "vfs_table7": "4920b1cc",
    "vfs_table8": "4f8cfbb1",
    "liir_table1": "cbfa3b08",
    "liir_table4": "5ceec9de",
    "liir_table5": "6b0aad25",
    "liir_appendix": "724a637b",
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_study_has_the_papers_numbers_in_all_columns(name):
    study = read_study(f"studies/{name}.yaml")
    lines = []
    for row in study.rows:
        printed = {evaluation: study.printed(row, evaluation) for evaluation in study.evaluate}
        others = {name: numbers for name, numbers in row.published.items() if name not in study.evaluate}
        lines.append(f"{row.name}: {printed} {others}")
    assert text_digest("\n".join(lines), 8) == PRINTED[name]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_names_scores_that_its_benchmarks_have(path, tmp_path):
    study = read_study(str(path))
    for name, words in study.evaluate.items():
        text = words[words.index("--on") + 1].partition("=")[0]
        (configured,) = read_on([f"{text}={tmp_path}"])
        benchmark = configured.build()
        assert set(study.scores[name]) <= set(benchmark.score_names), name
        for row in study.rows:
            assert study.printed(row, name).keys() <= set(study.scores[name])
