"""The table of a study from results.json files with known scores."""

import csv
import json
from pathlib import Path

import pytest

from callbacks.tools.study_plan import read_study
from callbacks.tools.study_table import gather_study, study_markdown, table_rows, write_csv

STUDY = """
title: a trial
source: a paper, Table 1
train: --config demo.yaml
seeds: [0, 1, 2]
score: J&F-Mean
evaluate: {davis: --config benchmarks/davis.yaml}
rows:
  - {name: base, published: {davis: 65}}
  - {name: better}
  - {name: missing}
"""


def leave_result(folder: Path, benchmark: str, gain: float, digest: str = "d1", **more: object) -> None:
    """Write what a benchmark leaves: four videos, one of them with two objects."""
    run = folder / "lightning_logs/version_0/benchmarks" / benchmark / "epoch=000-step=000010"
    run.mkdir(parents=True)
    rows = {"a_1": 0.5, "a_2": 0.6, "b_1": 0.7, "c_1": 0.4, "d_1": 0.3}
    with (run / "per_sequence.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("Sequence", "J-Mean", "F-Mean"))
        writer.writerows((name, value + gain, value + gain + 0.1) for name, value in rows.items())
    score = sum(rows.values()) / 5 + gain + 0.05
    content = {"benchmark": benchmark, "scores": {"J&F-Mean": score}, "protocol": {"name": "vfs", "digest": digest}}
    (run / "results.json").write_text(json.dumps(content | more))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(STUDY)
    for seed in (0, 1, 2):
        leave_result(tmp_path / "base" / f"seed-{seed}", "base-davis", 0.02 * seed)
        leave_result(tmp_path / "better" / f"seed-{seed}", "better-davis", 0.1 + 0.02 * seed)
    (tmp_path / "base/seed-0/trained.json").write_text(json.dumps({"words": [], "seconds": 600}))
    return tmp_path


def test_scores_spread_and_difference(output: Path) -> None:
    study = read_study(output / "study.yaml")
    base, better, missing = table_rows(study, gather_study(study, output))
    assert base.cell is not None
    assert better.cell is not None
    assert better.cell.difference is not None
    assert base.scores == pytest.approx({0: 0.55, 1: 0.57, 2: 0.59})
    assert (base.cell.mean, base.cell.spread) == pytest.approx((0.57, 0.04))
    assert base.cell.difference is None
    assert base.minutes == pytest.approx(10)
    found = better.cell.difference
    assert found.mean == pytest.approx(0.1)
    assert found.p is not None
    assert 0.001 < found.p < 0.01  # it varies between seeds only: 4 degrees of freedom, t = 6.1
    assert not missing.scores
    assert missing.cell is None


def test_a_training_with_fewer_than_three_seeds_is_not_tested(output: Path) -> None:
    study = read_study(output / "study.yaml")
    leave_result(output / "missing/seed-1", "missing-davis", 0.05)
    lines = table_rows(study, gather_study(study, output))
    assert "| missing | 1 | 60.0 | 60.0 |  | +3.0 (fewer than 3 seeds: not tested) |" in study_markdown(study, lines)


@pytest.mark.parametrize("base", ["base", "raw colour"])
def test_a_model_that_is_not_trained_is_compared_with_every_seed(output: Path, base: str) -> None:
    row = f"  - {{name: raw colour, model: --model FrozenEncoder, seeds: [0]}}\nbase: {base}\n"
    (output / "study.yaml").write_text(STUDY + row)
    study = read_study(output / "study.yaml")
    leave_result(output / "raw-colour/seed-0", "raw-colour-davis", 0.0)
    trained, _, _, colour = table_rows(study, gather_study(study, output))
    cell = colour.cell if base == "base" else trained.cell
    assert cell is not None
    assert cell.difference is not None
    assert cell.difference.mean == pytest.approx(-0.02 if base == "base" else 0.02)
    assert cell.difference.p is not None


def test_rows_of_different_protocols_are_not_compared(output: Path) -> None:
    study = read_study(output / "study.yaml")
    leave_result(output / "missing/seed-0", "missing-davis", 0.3, digest="d2")
    lines = table_rows(study, gather_study(study, output))
    assert lines[2].cell is not None
    assert lines[2].cell.difference is None
    assert "Rows scored by different protocols or on different data are not compared" in study_markdown(study, lines)


@pytest.mark.parametrize("more", [{"resolution": "1080p"}, {"sequences": 3}], ids=str)
def test_rows_of_different_data_are_not_compared(output: Path, more: dict[str, object]) -> None:
    study = read_study(output / "study.yaml")
    leave_result(output / "missing/seed-0", "missing-davis", 0.3, **more)
    lines = table_rows(study, gather_study(study, output))
    assert lines[2].cell is not None
    assert lines[2].cell.difference is None
    assert "on different data are not compared" in study_markdown(study, lines)


def test_seeds_that_are_on_disk_are_gathered(output: Path) -> None:
    (output / "study.yaml").write_text(STUDY + "  - {name: of it, of: base}\n")
    study = read_study(output / "study.yaml")
    leave_result(output / "base/seed-12", "base-davis", 0.3)
    leave_result(output / "base/seed-12", "of-it-davis", 0.2)
    lines = table_rows(study, gather_study(study, output))
    assert [list(line.scores) for line in lines] == [[0, 1, 2, 12], [0, 1, 2], [], [12]]


def test_markdown_and_csv(output: Path) -> None:
    study = read_study(output / "study.yaml")
    lines = table_rows(study, gather_study(study, output))
    text = study_markdown(study, lines)
    assert "| base | 3 | 55.0 / 57.0 / 59.0 | 57.0 | 4.0 |  | 65.0 | 10 |" in text
    assert "| better | 3 | 65.0 / 67.0 / 69.0 | 67.0 | 4.0 | +10.0 [+5.5, +14.5], p 0.0036 |  |  |" in text
    write_csv(lines, output / "table.csv")
    with (output / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["seed"]) for row in rows] == [(row, seed) for row in ("base", "better") for seed in "012"]


def test_rows_of_several_machines_are_pointed_out(output: Path) -> None:
    study = read_study(output / "study.yaml")
    here = {"machine": {"processor": "EPYC", "gpus": []}, "versions": {"torch": "2.11"}}
    leave_result(output / "missing/seed-0", "missing-davis", 0.3, **here)
    assert "different machines" not in study_markdown(study, table_rows(study, gather_study(study, output)))
    leave_result(output / "missing/seed-1", "missing-davis", 0.3, machine={"gpus": ["H200", "H200"]})
    lines = table_rows(study, gather_study(study, output))
    assert "Run on different machines: EPYC, torch 2.11; H200.\n" in study_markdown(study, lines)
    write_csv(lines, output / "table.csv")
    with (output / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["machine"] for row in rows if row["row"] != "better"] == [*3 * [""], "EPYC, torch 2.11", "H200"]


def test_a_score_that_is_not_there_is_named(output: Path) -> None:
    (output / "study.yaml").write_text(STUDY.replace("J&F-Mean", "PCK@0.1"))
    study = read_study(output / "study.yaml")
    with pytest.raises(ValueError, match=r"has no score 'PCK@0.1'; it has J&F-Mean"):
        gather_study(study, output)
