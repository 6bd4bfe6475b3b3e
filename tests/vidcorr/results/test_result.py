"""A result equals what was saved of it, and a damaged one is refused in one line that names the file and the field.

Also tests `metrics/declared.py`, `results/checked.py`, `results/csv_files.py`, `results/provenance.py`.
"""

import csv
import json
import math
import sys
from importlib.metadata import PackageNotFoundError
from unittest.mock import Mock

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr import Result
from vidcorr.metrics.declared import Score
from vidcorr.results.provenance import Provenance
from vidcorr.results.records import results_below
from vidcorr.results.result import Evaluated, Network, ProtocolFacts, Row, Setup

PROTOCOL = ProtocolFacts(name="vfs", digest="d1", fields={"radius": 12, "sizes": (480, None)})
FULL = Result(
    benchmark="davis",
    network=Network(name="ResNet-18", weights="random weights", seed=3, loaded=False, digest="ab"),
    scores={"J-Mean": 0.2, "J-Decay": math.nan},
    stage=Setup(layer="res4", stride=8, protocol=PROTOCOL),
    sequences=["bike", "dog\udcff"],
    data={"split": "val", "rules": {"name": "davis-2017"}, "undefined": float("nan")},
    seconds=1.5,
    history=[Evaluated(epoch=1, step=4, scores={"J-Mean": math.nan})],
    declared=[Score("J-Mean", "less", -1, None, "px")],
    provenance=Provenance.now(),
    rows=[
        Row(video="bike", object="1", values={"J-Mean": 0.2, "Category": "=x", "Unseen": True}),
        Row(video="dog\udcff", object="1", values={"J-Mean": math.nan, "Category": "", "Unseen": False}),
    ],
)


def test_a_saved_result_is_read_back_equal(tmp_path):
    FULL.save(tmp_path / "run")
    for path in (tmp_path / "run", tmp_path / "run" / "results.json"):
        assert Result.load(path) == FULL
    FULL.save(tmp_path / "run" / "masks")  # beside a result lie its masks, which are not searched
    FULL.save(tmp_path / ".hidden")
    FULL.save(tmp_path / "above" / "other")
    assert results_below(tmp_path) == {tmp_path / "above" / "other": FULL, tmp_path / "run": FULL}
    assert str(FULL).startswith("Result(davis, ResNet-18")
    assert str(FULL).endswith("2 sequences: J-Mean 0.2)")
    text = (tmp_path / "run" / "results.json").read_text()
    assert "NaN" not in text
    json.loads(text, parse_constant=pytest.fail)
    rows = list(csv.reader((tmp_path / "run" / "per_sequence.csv").open(errors="surrogateescape", newline="")))
    assert rows[:2] == [["Sequence", "J-Mean", "Category", "Unseen"], ["bike_1", "0.2", "=x", "True"]]
    assert rows[2][:2] == ["dog\udcff_1", ""]


def test_results_are_written_last_and_hold_the_rows(tmp_path, monkeypatch):
    """A stop between two files leaves no result, so that the evaluation is run again."""
    write = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("vidcorr.results.result.write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        FULL.save(tmp_path)
    assert [call.args[0].name for call in write.call_args_list] == ["per_sequence.csv"]


def test_damage_is_one_line_with_file_and_field(tmp_path):
    found = json.loads(davis_result().model_dump_json())
    for content, field in (
        ("[" * 50000, "recursion"),
        (json.dumps(found | {"scores": {"J": "0.5"}}), "scores.J"),
        (json.dumps(found | {"scorez": {}}), "scorez"),
        (json.dumps(found | {"declared": [{"name": "J", "best": 1}]}), "declared.0.best"),
    ):
        (tmp_path / "results.json").write_text(content)
        expected = r"results\.json: is not a results\.json of a benchmark, or damaged"
        assert field in refused(ValueError, expected, Result.load, tmp_path)


def test_its_command_is_the_words_without_the_programs_folder_and_a_checkout_keeps_its_results(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/bin/vidcorr", "evaluate", "raw_colour"])
    monkeypatch.setattr("vidcorr.results.provenance.version", Mock(side_effect=PackageNotFoundError))
    monkeypatch.delitem(sys.modules, "torch")  # without it, neither the kernel nor a GPU was used
    found = Provenance.now()
    assert (found.command, found.versions["vidcorr"]) == (("vidcorr", "evaluate", "raw_colour"), "not installed")
    assert (found.machine["compiled_search"], found.machine["gpus"]) == (False, [])
