"""Lines of a table of results: seeds of one network become a cell, different commands do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from callbacks.experiments.results_table import markdown_table, read_scores_of, tabulate


def run(folder: Path, value: float, network: str = "A", command: str = "vidcorr validate", **more: Any) -> Path:
    folder.mkdir(parents=True)
    about = {"protocol": {"name": "vfs", "digest": "d1"}, "sequences": 8, "command": command.split(), **more}
    content = {"benchmark": "davis", "scores": {"J&F-Mean": value}, "network": network, **about}
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_seeds_of_one_network_are_one_cell(tmp_path: Path) -> None:
    found = [
        score
        for seed, value in enumerate((0.4, 0.5, 0.6))
        for score in read_scores_of(run(tmp_path / str(seed), value, f"A, seed {seed}"))
    ]
    assert [(one.name, one.seed) for one in found] == [("A", 0), ("A", 1), ("A", 2)]
    table = tabulate(found)
    ((name, row),) = table.rows.items()
    (cell,) = row.values()
    assert name == "A"
    assert cell.scores == (0.4, 0.5, 0.6)
    assert cell.mean == pytest.approx(0.5)
    assert cell.spread == pytest.approx(0.2)


def test_runs_of_other_commands_are_rows_of_their_own(tmp_path: Path) -> None:
    one = read_scores_of(run(tmp_path / "a", 0.4, "A, seed 0"))
    other = read_scores_of(run(tmp_path / "b", 0.5, "A, seed 1", "vidcorr validate --model.stride 4"))
    assert len(tabulate([*one, *other]).rows) == 2
    labelled = [read_scores_of(tmp_path / name, "mine")[0] for name in "ab"]
    assert list(tabulate(labelled).rows) == ["mine"]


@pytest.mark.parametrize(("key", "words"), [("all_frames", "all frames"), ("one_to_one", "one detection per instance")])
def test_scores_by_other_rules_are_columns_of_their_own(tmp_path: Path, key: str, words: str) -> None:
    plain, other = (read_scores_of(run(tmp_path / str(on), 0.4, **{key: on})) for on in (False, True))
    columns = tabulate([*plain, *other]).columns
    assert len(columns) == 2
    assert words in str(columns[1])
    assert words not in str(columns[0])


def test_a_bar_in_a_name_does_not_end_its_cell() -> None:
    table = markdown_table(["row", "score"], [["a | b\nc", "1.0"]], right=[1])
    assert table == "| row | score |\n| --- | ---: |\n| a \\| b c | 1.0 |\n"
