"""The table of a study from results.json files with known scores."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from callbacks.results.records import Table
from callbacks.results.rendering import render
from callbacks.tools.study import study_markdown, study_table
from callbacks.tools.study_plan import read_study
from tests.helpers.refusal import refused

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
    return tmp_path


def table_of(output: Path) -> tuple[Table, str]:
    study = read_study(output / "study.yaml")
    table = study_table(study, output)
    return table, study_markdown(study, table)


def test_each_row_has_its_seeds_their_range_and_its_difference(output: Path) -> None:
    leave_result(output / "missing/seed-1", "missing-davis", 0.05)
    table, text = table_of(output)
    base, better = table.rows["base"]["davis"], table.rows["better"]["davis"]
    assert base.scores == pytest.approx((0.55, 0.57, 0.59))
    assert (base.difference, base.spread) == (None, pytest.approx(0.04))
    assert better.difference is not None
    assert better.difference.mean == pytest.approx(0.1)
    assert better.difference.p is not None
    assert 0.001 < better.difference.p < 0.01  # it varies between seeds only: 4 degrees of freedom, t = 6.1
    assert "| base | 57.0 (55.0 / 57.0 / 59.0; range 4.0) [" in text
    assert "; +10.0 [+5.5, +14.5], p 0.0036 |  |" in text
    assert text.splitlines()[6].startswith("|  | davis | davis, paper |")
    assert "] | 65.0 |" in text
    assert "| missing | 60.0 [" in text
    assert "; +3.0 (fewer than 3 seeds: not tested) |  |" in text
    (last,) = (row for row in csv.DictReader(render(table, "csv").splitlines()) if row["row"] == "missing")
    assert (last["column"], last["seeds"], float(last["scores"])) == ("davis", "1", pytest.approx(0.6))


@pytest.mark.parametrize("base", ["base", "raw colour"])
def test_a_model_that_is_not_trained_is_compared_with_every_seed(output: Path, base: str) -> None:
    row = f"  - {{name: raw colour, model: --model FrozenEncoder, seeds: [0]}}\nbase: {base}\n"
    (output / "study.yaml").write_text(STUDY + row)
    leave_result(output / "raw-colour/seed-0", "raw-colour-davis", 0.0)
    table, _ = table_of(output)
    difference = table.rows["raw colour" if base == "base" else "base"]["davis"].difference
    assert difference is not None
    assert difference.mean == pytest.approx(-0.02 if base == "base" else 0.02)
    assert difference.p is not None


@pytest.mark.parametrize("more", [{"digest": "d2"}, {"resolution": "1080p"}, {"sequences": 3}], ids=str)
def test_rows_of_different_protocols_or_data_are_not_compared(output: Path, more: dict[str, Any]) -> None:
    leave_result(output / "missing/seed-0", "missing-davis", 0.3, **more)
    table, text = table_of(output)
    assert table.rows["missing"]["davis"].difference is None
    assert "Rows scored by different protocols or on different data are not compared" in text


def test_seeds_that_are_on_disk_are_gathered(output: Path) -> None:
    (output / "study.yaml").write_text(STUDY + "  - {name: of it, of: base}\n")
    leave_result(output / "base/seed-12", "base-davis", 0.3)
    leave_result(output / "base/seed-12", "of-it-davis", 0.2)
    rows = table_of(output)[0].rows
    seeds = [[one.seed for one in row["davis"].records] for row in rows.values() if "davis" in row]
    assert seeds == [[0, 1, 2, 12], [0, 1, 2], [12]]


def test_rows_of_several_machines_are_pointed_out(output: Path) -> None:
    here = {"machine": {"processor": "EPYC", "gpus": []}, "versions": {"torch": "2.11"}}
    leave_result(output / "missing/seed-0", "missing-davis", 0.3, **here)
    assert "different machines" not in table_of(output)[1]
    leave_result(output / "missing/seed-1", "missing-davis", 0.3, machine={"gpus": ["H200", "H200"]})
    table, text = table_of(output)
    assert "Run on different machines: EPYC, torch 2.11; H200." in text
    assert "EPYC, torch 2.11; H200" in render(table, "csv")


def test_a_score_that_is_not_there_is_named(output: Path) -> None:
    (output / "study.yaml").write_text(STUDY.replace("J&F-Mean", "PCK@0.1"))
    refused(ValueError, r"has no score 'PCK@0.1'; it has J&F-Mean", table_of, output)
