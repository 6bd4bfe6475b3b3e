"""Damaged results end every word in one line; stages have their own protocols; a spreadsheet runs no name."""

import csv
import json

import pytest

from callbacks import Result
from callbacks.experiments.table import gather_results
from callbacks.results.provenance import Provenance
from callbacks.results.records import records_of, score_of
from callbacks.results.result import Protocol, Stage
from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import refusal

DAMAGED = {
    "a folder": None,
    "list": b"[]",
    "deep": b"[" * 5000 + b"]" * 5000,
    "a score as text": b'{"benchmark": "davis", "network": {"name": "A"}, "scores": {"J": "<b>"}}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_result_is_named_by_every_word(tmp_path, damage):
    run = write_results(tmp_path / "run" / "davis", {"J&F-Mean": 0.5})
    good = write_results(tmp_path / "good", {"J&F-Mean": 0.5})
    file = run / "results.json"
    file.unlink()
    if DAMAGED[damage] is None:
        file.mkdir()
    else:
        file.write_bytes(DAMAGED[damage])
    said = [
        refusal("report", run),
        refusal("report", good, "--beside", run),
        refusal("figure", run, "--output", tmp_path / "figure.png"),
        refusal("table", run, "--published"),
    ]
    assert all("davis/results.json: is not a results.json of a benchmark" in line for line in said)


def test_a_table_names_damaged_files(tmp_path):
    write_results(tmp_path / "run", {"J&F-Mean": 0.5})
    (tmp_path / "run/results.json").write_text("{}")
    assert "results.json: is not a results.json" in refusal("table", tmp_path / "run")


def test_each_stage_stands_under_its_own_protocol_and_a_missing_score_is_named(tmp_path):
    stages = {
        f"res{number}": Stage(layer=f"res{number}", stride=8, protocol=Protocol(name="vfs", digest=f"d{number}"))
        for number in (3, 4)
    }
    run = write_results(tmp_path / "run", {"res3/J-Mean": 0.4, "res4/J-Mean": 0.5}, sequences=2, stages=stages)
    rows = gather_results([run]).rows
    assert {name: {head: cell.scores for head, cell in row.items()} for name, row in rows.items()} == {
        "ResNet-18, res3": {"davis J-Mean (vfs d3, 2 sequences)": (0.4,)},
        "ResNet-18, res4": {"davis J-Mean (vfs d4, 2 sequences)": (0.5,)},
    }
    refused(ValueError, "run: has no score 'PCK'; it has J-Mean", score_of, Result.load(run), "PCK", run)


def test_commands_that_differ_in_seeds_and_places_have_one_recipe():
    def recipe(*words):
        result = Result(
            benchmark="davis",
            network={"name": "A"},
            scores={"J": 1.0},
            provenance=Provenance(command=("vidcorr", *words)),
        )
        return records_of(result)[0].recipe

    first = recipe("fit", "--seed_everything", "0", "--data.frames", "2", "--trainer.default_root_dir=a")
    assert first == recipe("fit", "--seed_everything=1", "--data.frames", "2", "--trainer.default_root_dir", "b")
    assert first == ("fit", "--data.frames", "2")
    assert first != recipe("fit", "--data.frames", "4")


def test_a_spreadsheet_runs_no_name(tmp_path):
    names = ["=1+1", "+cmd|' /C calc'!A0", "-a", "@x", "'quoted", "plain"]
    run = write_results(tmp_path, {"J-Mean": 0.5}, videos={"J-Mean": {name: [-0.5] for name in names}})
    lines = list(csv.reader((run / "per_sequence.csv").open(newline="")))[1:]
    assert [line[0] for line in lines] == [
        "'=1+1_1",
        "'+cmd|' /C calc'!A0_1",
        "'-a_1",
        "'@x_1",
        "''quoted_1",
        "plain_1",
    ]
    assert {line[1] for line in lines} == {"-0.5"}
    assert [row["video"] for row in json.loads((run / "results.json").read_text())["rows"]] == names
