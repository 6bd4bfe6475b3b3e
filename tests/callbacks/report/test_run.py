"""Content of a run's folder, and the scores that stand beside it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from callbacks.report.run import read_run, sequence_scores
from tests.helpers.page import lines, write_results


def test_rows_of_a_comparison_and_named_runs_stand_beside_it(tmp_path: Path) -> None:
    run = write_results(tmp_path / "cmp/mine/davis", 0.5, protocol={"name": "vfs", "digest": "1"})
    rows = {"VFS": {"scores": {"davis/J&F-Mean": 0.5}}, "raw": {"scores": {"davis/J&F-Mean": 0.3, "otb/success": 1}}}
    (tmp_path / "cmp/compare.json").write_text(json.dumps(rows | {"broken": {"error": "no such stage"}}))
    same = write_results(tmp_path / "a/davis", 0.6, protocol={"name": "vfs", "digest": "1"})
    other = write_results(tmp_path / "b/davis", 0.7, protocol={"name": "crw", "digest": "2"})
    assert lines(run, same, other / "results.json") == [
        ("this run", 0.5),
        ("raw", 0.3),
        ("a/davis", 0.6),
        ("b/davis (another protocol: crw)", 0.7),
    ]
    otb = write_results(tmp_path / "c", 0.7)
    (otb / "results.json").write_text(json.dumps({"benchmark": "otb", "scores": {}}))
    with pytest.raises(ValueError, match="is a result of otb, the report is of davis"):
        lines(run, otb)


def test_sequences_are_ranked_by_their_objects_in_the_last_stage() -> None:
    rows = [
        {"Stage": "res3", "Sequence": "bike_1", "J-Mean": "0.9", "F-Mean": "0.9"},
        {"Stage": "res4", "Sequence": "bike_1", "J-Mean": "0.2", "F-Mean": "0.4"},
        {"Stage": "res4", "Sequence": "bike_2", "J-Mean": "0.6", "F-Mean": "0.8"},
        {"Stage": "res4", "Sequence": "up_1", "J-Mean": "0.1", "F-Mean": "0.1"},
    ]
    scores = sequence_scores(rows, ("J-Mean", "F-Mean"), ["bike", "up_1"])
    assert scores == {"bike": pytest.approx(0.5), "up_1": pytest.approx(0.1)}
    assert sequence_scores([], ("J-Mean",), ["bike"]) == {}


def test_films_of_an_earlier_run_in_the_same_folder_are_left_out(run: Any, tmp_path: Path) -> None:
    _, _, folder = run
    again = shutil.copytree(folder, tmp_path / "again")
    material = json.loads((again / "report.json").read_text())
    (again / "report.json").write_text(json.dumps(material | {"sequences": ["synthetic-001"]}))
    assert [film["sequence"] for film in read_run(again).films] == ["synthetic-001"]
