"""Damaged and hostile folders of results end every word in one line; what a run writes of its command and machine."""

import csv
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from callbacks.results.stored import Run, StoredReport, read_run, read_sequence_rows
from callbacks.results.written import provenance
from callbacks.tools.sweep import read_scores
from callbacks.tools.table import gather_results
from datamodules.reading.files import csv_of_records
from tests.helpers.refusal import refused
from tests.helpers.words import refusal

GOOD = {
    "benchmark": "davis",
    "scores": {"J&F-Mean": 0.5},
    "network": "ResNet-18",
    "sequences": 2,
    "protocol": {"name": "vfs", "digest": "d1", "radius": 12},
}
ROWS = b"Sequence,J-Mean,F-Mean\na_1,0.4,0.5\nb_1,0.5,0.6\n"
DAMAGED = {
    "a folder": None,
    "list": b"[]",
    "deep": b"[" * 5000 + b"]" * 5000,
    "a score as text": GOOD | {"scores": {"J&F-Mean": "<b>"}},
    "protocol as a number": GOOD | {"protocol": 5},
    "a protocol without a digest": GOOD | {"protocol": [{"name": "vfs"}]},
}
DAMAGED_ROWS = {
    "a short row": ROWS + b"c_1\n",
    "a long row": ROWS + b"c_1,1,1,1\n",
    "an open quote": ROWS + b'"c_1,1,1\n',
    "no names": b"J-Mean,F-Mean\n1,1\n",
    "not text": b"\xff\xfe\x00",
}
STUDY = b"title: t\ntrain: fit\nseeds: [0]\nscore: J&F-Mean\nevaluate: {davis: x.yaml}\nrows: [{name: base}]\n"


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.fixture
def run(tmp_path):
    """A folder of one result, in the place where a study looks for it."""
    folder = tmp_path / "base/seed-0/version_0/benchmarks/davis/epoch=000-step=000004"
    put(folder / "results.json", GOOD)
    put(folder / "per_sequence.csv", ROWS)
    put(tmp_path / "good/davis/results.json", GOOD)
    return folder


def every_reader(run):
    """Let every word read a folder that it has to refuse, and return what each says."""
    root = run.parents[5]
    return [
        refusal("report", run),
        refusal("report", root / "good", "--beside", run),
        refusal("figure", run.parents[2], "--output", root / "figure.png"),
        refusal("table", run, "--published"),
        refused(ValueError, ".", read_scores, [run], "J&F-Mean"),
    ]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_result_is_named_by_every_word(run, damage):
    (run / "results.json").unlink()
    if DAMAGED[damage] is None:
        (run / "results.json").mkdir()
    else:
        put(run / "results.json", DAMAGED[damage])
    said = every_reader(run)
    assert all("epoch=000-step=000004/results.json: is not a results.json of a benchmark" in line for line in said)


@pytest.mark.parametrize("damage", DAMAGED_ROWS)
def test_damaged_rows_are_named(run, damage):
    put(run / "per_sequence.csv", DAMAGED_ROWS[damage])
    assert "per_sequence.csv: is " in refusal("report", run)
    refused(ValueError, r"per_sequence\.csv: is ", read_scores, [run], "J&F-Mean")


def test_a_study_names_damaged_files(run):
    root = run.parents[5]
    put(root / "study.yaml", STUDY)
    put(root / "base/seed-0/version_0/benchmarks/base-davis/x/results.json", GOOD | {"protocol": 5})
    assert "results.json: is not a results.json" in refusal("study", root / "study.yaml", "--output", root, "--table")
    put(root / "base/seed-0/version_0/benchmarks/base-davis/x/results.json", GOOD)
    for record in ([], {"words": 5, "seconds": "x"}, b"{"):
        put(root / "base/seed-0/trained.json", record)
        line = refusal("study", root / "study.yaml", "--output", root)
        assert "trained.json: is not a record of a study" in line


def test_each_stage_stands_under_its_own_protocol(tmp_path):
    """With several stages, results.json lists a protocol for each, in the order of its stages."""
    protocols = [{"name": "vfs+feature_stride=4", "digest": "d4"}, {"name": "vfs", "digest": "d8"}]
    scores = {"res3/J&F-Mean": 0.4, "res4/J&F-Mean": 0.5}
    several = GOOD | {"scores": scores, "stage": ["res3", "res4"], "protocol": protocols}
    put(tmp_path / "several/results.json", several)
    rows = gather_results([tmp_path / "several"]).rows
    d4, d8 = (f"davis J&F-Mean ({name}, 2 sequences)" for name in ("vfs+feature_stride=4 d4", "vfs d8"))
    assert {name: {head: cell.scores for head, cell in row.items()} for name, row in rows.items()} == {
        "ResNet-18, res3": {d4: (0.4,)},
        "ResNet-18, res4": {d8: (0.5,)},
    }
    put(tmp_path / "several/results.json", several | {"stage": None})
    found = read_run(tmp_path / "several").protocol_of("res4")
    assert found == {"name": "vfs+feature_stride=4 and vfs", "digest": "d4 and d8"}


def test_a_spreadsheet_runs_no_name_and_the_name_is_read_back(tmp_path):
    names = ["=1+1", "+cmd|' /C calc'!A0", "-a", "@x", "'quoted", "plain"]
    file = tmp_path / "per_sequence.csv"
    file.write_bytes(csv_of_records([{"Sequence": name, "J-Mean": -0.5, "text": "-0.5"} for name in names]).encode())
    cells = [line[0] for line in csv.reader(file.open(newline=""))][1:]
    assert cells == ["'=1+1", "'+cmd|' /C calc'!A0", "'-a", "'@x", "''quoted", "plain"]
    assert [row["Sequence"] for row in read_sequence_rows(file)] == names
    assert {(row["J-Mean"], row["text"]) for row in read_sequence_rows(file)} == {("-0.5", "-0.5")}


def test_rows_may_be_missing_and_a_score_undefined(run):
    put(run / "results.json", GOOD | {"scores": {"J-Decay": float("nan")}})
    (run / "per_sequence.csv").unlink()
    assert math.isnan(read_run(run).results["scores"]["J-Decay"])
    assert read_run(run).rows == []


def test_other_data_of_as_many_sequences_are_not_the_test_set():
    val = {"benchmark": "davis", "sequences": 30, "year": 2017, "split": "val", "resolution": "480p"}

    def on_test_set(**changes):
        return Run(Path(), val | changes, [], StoredReport()).on_test_set

    assert on_test_set()
    others = {"sequences": 29, "year": 2016, "split": "train", "resolution": "Full-Resolution", "limit_sequences": 30}
    assert not any(on_test_set(**{key: value}) for key, value in others.items())
    assert not on_test_set(benchmark="mose")


def test_command_versions_and_gpus(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vidcorr", "score"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"GPU {number}")
    found = provenance()
    assert found["command"] == ["vidcorr", "score"]
    assert found["versions"]["torch"] == version("torch")
    assert list(found["machine"]) == ["system", "python", "processor", "cores", "compiled_search", "gpus"]
    assert found["machine"]["gpus"] == ["GPU 0", "GPU 1"]
    json.dumps(found)
