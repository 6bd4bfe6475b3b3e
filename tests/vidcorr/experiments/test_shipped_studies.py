"""Shipped studies: the papers' numbers stand beside the same scores, and each table has both of its benchmarks."""

import pytest

from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.experiments.config_files import CONFIGS
from vidcorr.experiments.study import read_study

STUDIES = sorted((CONFIGS / "studies").glob("*.yaml"))
# printed numbers, row by row, as the papers have them
VFS_TABLE_2 = """
same frame: 38.6 37.3 39.9 5.4 4.7
same frame with colour augmentation: 50.9 49.3 52.6 0.4 0.3
same frame with spatial augmentation: 62.2 60.8 63.6 30.6 26.1
same frame with both augmentations: 61.2 59.3 63.1 53.0 39.3
different frames: 63.4 61.1 65.7 37.4 28.8
different frames with colour augmentation: 58.4 56.4 60.4 46.2 34.6
different frames with spatial augmentation: 65.0 62.6 67.4 48.1 37.9
different frames with both augmentations: 61.9 59.5 64.3 57.3 43.0
"""
VFS_TABLE_3 = """
interval 0: 62.2 60.8 63.6 30.6 26.1
interval 2: 63.5 61.7 65.4 38.1 31.2
interval 4: 62.9 61.4 64.3 35.5 29.5
interval 8: 63.5 61.7 65.3 38.5 31.8
interval 16: 63.9 61.9 65.8 44.1 33.9
interval 32: 64.5 62.4 66.7 46.9 36.1
distant: 65.0 62.6 67.4 48.1 37.9
"""
VFS_TABLE_4 = """
n = 2: 65.0 62.6 67.4 48.1 37.9
n = 4: 65.8 63.2 68.4 51.5 38.4
n = 8: 66.7 64.0 69.4 53.0 39.6
n = 2 with colour augmentation: 61.9 59.5 64.3 57.3 43.0
n = 4 with colour augmentation: 62.9 60.5 65.3 58.4 43.8
n = 8 with colour augmentation: 62.5 59.8 65.1 59.0 43.8
"""
VFS_TABLE_5 = """
R18 without negatives: 65.0 62.6 67.4 48.1 37.9 22.0
R18 with negatives: 64.7 62.2 67.3 39.0 31.7 24.2
R18 without negatives with colour augmentation: 61.9 59.5 64.3 57.3 43.0 31.8
R18 with negatives with colour augmentation: 61.5 59.3 63.7 53.7 40.8 33.8
"""
VFS_TABLE_6 = """
R18 without negatives: 65.0 62.6 67.4 48.1 37.9
R50 without negatives: 68.9 66.5 71.3 69.5 47.4 34.6
R18 with negatives: 64.7 62.2 67.3 39.0 31.7
R50 with negatives: 68.3 65.8 70.8 46.4 34.4
R18 without negatives with colour augmentation: 61.9 59.5 64.3 57.3 43.0
R50 without negatives with colour augmentation: 67.1 64.6 69.6 59.5 43.4
R18 with negatives with colour augmentation: 61.5 59.3 63.7 53.7 40.8
R50 with negatives with colour augmentation: 67.2 64.7 69.7 56.5 40.7
"""
VFS_TABLE_7 = """
supervised R18: 62.9 60.6 65.2 31.9 53.8 74.6
SimSiam R18: 62.0 60.0 64.0 30.3 55.2 74.0
MoCo R18: 60.8 58.6 63.1 29.2 55.0 72.7
CRW R18: 67.6 64.8 70.2 38.6 59.3 80.3
VFS R18: 66.7 64.0 69.4 39.9 60.5 79.5
VFS R18, best block: 67.9 65.0 70.8
supervised R50: 66.0 63.7 68.4 39.5 59.2 78.3
SimSiam R50: 66.3 64.5 68.2 35.0 58.4 77.5
MoCo R50: 65.4 63.2 67.6 36.1 60.4 79.3
CRW R50: 29.7 27.6 31.9 10.4 21.3 32.2
VFS R50: 68.9 66.5 71.3 43.2 60.9 80.7
VFS R50, best block: 69.4 66.7 72.0
"""
VFS_TABLE_8 = """
supervised R18: 61.4 43.0
SimSiam R18: 58.8 42.9
MoCo R18: 62.0 47.0
VFS R18: 68.9 52.2
VFS R18, by the letter: 68.9 52.2
CRW R18: 52.6 40.1
supervised R50: 65.8 45.5
SimSiam R50: 61.0 43.2
MoCo R50: 63.7 46.5
CRW R50: 4.9 4.8
VFS R50: 73.9 52.5
VFS R50, by the letter: 73.9 52.5
"""
LIIR_TABLES_1_AND_3 = """
Liir: 72.1 69.7 81.4 74.5 85.9 41.2 22.1 60.7 81.5
CRW: 68.3 65.5 78.6 71.0 82.9 38.6 59.3 80.3
VFS: 66.7 64.0 69.4 39.9 60.5 79.5
DINO, ViT-B/8: 71.4 67.9 74.9
supervised: 62.9 60.6 69.9 65.2 73.8 31.9 12.6 53.8 74.6
"""
LIIR_TABLE_4 = """
baseline (MAST's objective): 65.3 35.2
with inter-video reconstruction: 68.7 38.4
with position encoding: 66.9 37.0
with compactness: 68.4 37.2
all: 72.1 41.2
"""
LIIR_TABLE_5 = """
negatives of 0 frames: 69.2 38.4
negatives of 480 frames: 70.9 39.8
negatives of 960 frames: 71.7 41.0
position none: 70.9 40.3
position 2dspe: 70.6 40.2
position 2dape: 71.9 41.1
modulation none: 71.3 40.6
modulation shuffle: 71.8 41.0
no compactness: 69.8 39.6
compactness in training only: 71.5 40.8
compactness in inference only: 70.8 40.3
all: 72.1 41.2
"""
LIIR_TABLES_A1_AND_C1 = """
A.1 #1: no compactness: 69.8 39.6
A.1 #2: 1 component in training, none in inference: 69.4 39.3
A.1 #3: 1 component: 69.0 39.1
A.1 #4: 1 component in training, 2 in inference: 69.6 39.4
A.1 #5: 1 component in training, 3 in inference: 69.6 39.4
A.1 #6: 2 components in training, none in inference: 71.5 40.8
A.1 #7: 2 components in training, 1 in inference: 71.2 40.4
A.1 #8, C.1: 2 components, 4 points of 1440 frames: 72.1 41.2
A.1 #9: 2 components in training, 3 in inference: 71.9 41.2
A.1 #10: 3 components in training, none in inference: 71.3 40.7
A.1 #11: 3 components in training, 1 in inference: 71.1 40.4
A.1 #12: 3 components in training, 2 in inference: 71.7 40.9
A.1 #13: 3 components: 71.6 40.8
C.1: 1 point of 1440 frames: 70.4
C.1: 2 points of 1440 frames: 71.4
C.1: 12 points of 480 frames: 70.9
C.1: 6 points of 960 frames: 71.7
"""
TABLES = {
    "vfs_table2": VFS_TABLE_2,
    "vfs_table3": VFS_TABLE_3,
    "vfs_table4": VFS_TABLE_4,
    "vfs_table5": VFS_TABLE_5,
    "vfs_table6": VFS_TABLE_6,
    "vfs_table7": VFS_TABLE_7,
    "vfs_table8": VFS_TABLE_8,
    "liir_table1": LIIR_TABLES_1_AND_3,
    "liir_table4": LIIR_TABLE_4,
    "liir_table5": LIIR_TABLE_5,
    "liir_appendix": LIIR_TABLES_A1_AND_C1,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_study_has_the_papers_numbers_in_all_columns(name):
    study = read_study(f"studies/{name}.yaml")
    for line in TABLES[name].strip().splitlines():
        row, _, numbers = line.rpartition(": ")
        printed = [study.printed(study.row(row), evaluation).values() for evaluation in study.evaluate]
        printed += [numbers.values() for numbers in study.row(row).beside.values()]
        assert [number for of_one in printed for number in of_one] == [float(number) for number in numbers.split()], row


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_names_scores_that_its_benchmarks_have(path, tmp_path):
    study = read_study(str(path))
    assert study.scores.keys() == study.evaluate.keys()
    for name, words in study.evaluate.items():
        text = words[words.index("--on") + 1].partition("=")[0]
        (configured,) = read_on([f"{text}={tmp_path}"])
        benchmark = configured.build()
        assert set(study.scores[name]) <= set(benchmark.score_names), name
        for row in study.rows:
            assert study.printed(row, name).keys() <= set(study.scores[name])


def test_depths_are_compared_at_one_radius():
    study = read_study("studies/vfs_table6.yaml")
    assert not any(row.evaluate for row in study.rows)
    assert study.printed(study.row("R50 without negatives"), "davis")["J&F-Mean"] == 68.9
    assert study.printed(study.row("R50 without negatives"), "davis, radius 18") == {"J&F-Mean": 69.5}


def test_each_depth_differs_from_the_same_training_of_the_other_depth():
    study = read_study("studies/vfs_table6.yaml")
    deep = [row for row in study.rows if row.name.startswith("R50")]
    assert [row.base for row in deep] == [row.name.replace("R50", "R18") for row in deep]
    assert len(deep) == 4
