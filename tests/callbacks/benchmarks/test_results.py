"""Results of a benchmark: files, the table, and a folder that cannot be written."""

import csv
import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from callbacks.benchmarks.results import Results


def shown(results: Results) -> str:
    text = StringIO()
    results.print(Console(file=text, width=120))
    return text.getvalue()


def test_files_hold_scores_rows_and_where_they_come_from(tmp_path: Path) -> None:
    rows = [{"Sequence": "a, b", "J-Mean": 0.5}, {"Sequence": "c", "J-Mean": 0.25}]
    protocols = [{"digest": "1"}, {"digest": "2"}]
    results = Results("davis", {"J-Mean": 0.375}, rows, {"protocol": protocols})
    results.write(tmp_path / "run")
    written = json.loads((tmp_path / "run" / "results.json").read_text())
    assert written["scores"] == {"J-Mean": 0.375}
    assert {"date", "machine", "command", "versions"} <= written.keys()
    with (tmp_path / "run" / "per_sequence.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()} for row in rows]
    assert results.digests == ["1", "2"]
    assert Results("davis", {}, [], {"protocol": protocols[0]}).digests == ["1"]


def test_each_stage_has_a_line() -> None:
    lines = shown(
        Results("davis", {"res3/J-Mean": 0.25, "res3/F-Mean": 0.5, "res4/J-Mean": 0.75, "res4/F-Mean": 1.0}, [])
    )
    assert [line.split() for line in lines.splitlines()] == [
        ["J-Mean", "F-Mean"],
        ["davis", "res3", "25.0", "50.0"],
        ["davis", "res4", "75.0", "100.0"],
    ]
