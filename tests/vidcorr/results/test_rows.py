"""Rows, columns and differences of tables of results on disk.

Also tests `reports/table.py`, `results/records.py`, `results/tabulate.py`.
"""

import csv
import json
import math
import shutil
from statistics import fmean

import pytest

import vidcorr
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr.cli import main
from vidcorr.experiments.reports.table import table
from vidcorr.metrics.declared import fractions
from vidcorr.results.rendering import render
from vidcorr.results.result import Network, Row


def save(folder, values, **network):
    """Store a result of J of objects, `VIDEO_OBJECT` → value; its score is their mean."""
    rows = []
    for name, value in values.items():
        video, _, number = name.partition("_")
        rows.append(Row(video=video, object=number, values={"J-Mean": value}))
    videos = list(dict.fromkeys(row.video for row in rows))
    fields = {"rows": rows, "sequences": videos, "digests": dict.fromkeys(videos, "d")}
    fields |= {"conditions": [f"{len(videos)} sequences"], "declared": fractions("J-Mean")}
    fields |= {"network": Network(**{"name": "A", "recipe": "r"} | network)}
    mean = fmean(value for value in values.values() if not math.isnan(value))
    davis_result({"J-Mean": mean}, **fields).save(folder)
    return folder


BROKEN = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "foreign": lambda text: '{"scores": {"J-Mean": 0.5}}',
    "a list": lambda text: "[1]",
    "older": lambda text: text.replace('"format": 1', '"format": 0'),
    "newer": lambda text: text.replace('"format": 1', '"format": 2'),
    "above its bound": lambda text: text.replace('"J-Mean": ', '"J-Mean": 7', 1),
    "another mean": lambda text: json.dumps(json.loads(text) | {"scores": {"J-Mean": 0.123}}),
}
"""Form of a file that cannot be read → it, made of a right one."""


def test_a_file_that_cannot_be_read_is_named_and_leaves_the_others(tmp_path, capsys):
    good = save(tmp_path / "good", {"a": 0.5, "b": 0.25})
    text = (good / "results.json").read_text()
    (good / "results.json").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())  # as an editor saves it
    for name, broken in BROKEN.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(broken(text))
    (tmp_path / "folder/results.json").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    found = table([tmp_path])
    assert [cell.mean for cell in found.cells] == [0.375]
    for name in BROKEN:
        assert sum(str(tmp_path / name / "results.json") in note for note in found.notes) == 1, name
    main(["table", str(tmp_path), "--format", "csv"])
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 2
    assert printed.err.count("Left out: ") == len(BROKEN)
    assert "edited, or" in refused(ValueError, "no result in", table, [tmp_path / "another mean"])
    assert "its format is 0" in refused(ValueError, "no result in", table, [f"x={tmp_path / 'older'}"])
    assert len(table([f"x={tmp_path / 'older'}", good]).cells) == 1


def test_a_name_is_one_network_and_a_seed_counts_once(tmp_path):
    for place, network in {
        "0": {"seed": 0},
        "also 0": {"seed": 0},
        "1": {"seed": 1},
        "other": {"seed": 2, "recipe": "s"},
        "unknown": {"seed": None},
        "foreign": {"recipe": "", "name": "B", "digest": "w"},
        "foreign too": {"recipe": "", "name": "C"},
    }.items():
        save(tmp_path / place, {"a": 0.5, "b": len(place) / 20}, **network)
    shutil.copytree(tmp_path / "0", tmp_path / "again")
    shutil.copytree(tmp_path / "foreign", tmp_path / "copied")
    named = lambda *places: [f"x={tmp_path / place}" for place in places]  # noqa: E731
    for places, said in (
        (("0", "other"), f"x names two networks, A in {tmp_path}/0 and A in {tmp_path}/other: give each a name"),
        (("foreign", "foreign too"), "x names two networks, B in .* and C in "),
        (("0", "foreign"), "x names two networks, A in .* and B in "),
        (("0", "unknown"), "x has two results of davis, .*/0 and .*/unknown; name one of them"),
        (("0", "also 0"), "x has two results of seed 0 of davis, .*/0 and .*/also 0"),
    ):
        refused(ValueError, said, table, named(*places))
    for places, seeds in ((("0", "1", "again"), 2), (("foreign", "copied", "copied"), 1)):
        (cell,) = table(named(*places)).cells
        assert len(cell.scores) == seeds
    shutil.copytree(tmp_path / "also 0", tmp_path / "also again")
    found = table([tmp_path / place for place in ("0", "also 0", "also again")])
    assert (len(found.rows), "also again is a copy of" in " ".join(found.notes)) == (2, True)
    assert f"x: {tmp_path}/again is a copy of {tmp_path}/0 and counts once" in table(named("0", "again")).notes


NAN = math.nan
FOUR = {"a": 0.5, "b": 0.6, "c": 0.3, "d": 0.9}
SIDES = {
    "the same sequences": (FOUR, {"a": 0.1, "b": 0.7, "c": 0.2, "d": 0.4}, 0.225, "over 4 sequences."),
    "fewer": (FOUR, {"a": 0.1, "c": 0.2, "d": 0.4}, 1 / 3, "over 3 sequences."),
    "undefined on a side": ({"a": 0.5, "b": NAN, "c": 0.3}, {"a": 0.1, "b": 0.7, "c": NAN}, 0.4, "lacks b, c,"),
    "an object less": (
        {"a_1": 0.5, "a_2": 0.1, "b_1": 0.2},
        {"a_1": 0.1, "b_1": 0.7},
        -0.05,
        "one side lacks a_2, which",
    ),
    "nothing in common": ({"a": 0.5, "b": 0.6}, {"c": 0.1, "d": 0.7}, None, ""),
}
"""Case → scores of two rows, their mean difference, and words below the table."""


@pytest.mark.parametrize("case", SIDES)
def test_a_difference_is_the_mean_over_what_both_define(case, tmp_path):
    ours, theirs, mean, said = SIDES[case]
    for name, values in (("ours", ours), ("theirs", theirs)):
        save(tmp_path / name, values, name=name, recipe=name)
    found = table([tmp_path]).with_differences("theirs")
    assert said in " ".join(render(found, "text").split())
    (cell,) = found.rows["ours"].values()
    assert (cell.difference and cell.difference.mean) == (mean and pytest.approx(mean, abs=1e-12))


ENDINGS = {".md": "## davis", ".csv": "row,", ".tex": r"\begin{table}", ".HTML": "<!doctype", ".txt": "davis"}


def test_the_ending_decides_the_form_at_a_terminal_as_in_a_script(tmp_path, monkeypatch):
    save(tmp_path / "r", {"a": 0.5, "b": 0.25})
    for ending, begins in ENDINGS.items():
        texts = []
        for is_terminal in (True, False):
            monkeypatch.setattr("sys.stdout.isatty", lambda is_terminal=is_terminal: is_terminal, raising=False)
            main(["table", str(tmp_path / "r"), "--output", f"{tmp_path}/a{ending}"])
            texts.append((tmp_path / f"a{ending}").read_text())
        assert texts[0] == texts[1]
        assert texts[0].startswith(begins)
    words = ["table", str(tmp_path), "--output", "a.pdf"]
    refused(SystemExit, "its ending names no form: end it in one of .txt", main, words)


def test_texts_are_no_formulas_and_letters_of_papers_are_known_to_latex(tmp_path):
    for number, name in enumerate(("=1+1", "+x", "-x", "@x", "τ ≥ 0.1 ↑")):
        save(tmp_path / str(number), {"=a": 0.5 + number / 10, "b": 0.25}, name=name, recipe=name)
    lines = list(csv.DictReader(render(table([tmp_path]), "csv").splitlines()))
    assert [line["row"] for line in lines] == ["'=1+1", "'+x", "'-x", "'@x", "τ ≥ 0.1 ↑"]
    assert float(lines[0]["mean"]) == 0.375
    assert r"$\tau$ $\ge$ 0.1 $\uparrow$" in render(table([tmp_path]), "tex")
    assert (tmp_path / "0/per_sequence.csv").read_text().splitlines()[1].startswith("=a")  # data for scripts


def test_records_are_for_pandas(tmp_path, capsys):
    save(tmp_path / "r", {"a": 0.5, "b": 0.25}, seed=3)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/results.json").write_text("{")
    (found,) = vidcorr.records(tmp_path, f"mine={tmp_path / 'r'}")[:1]
    assert (found["row"], found["score"], found["value"], found["seed"]) == ("A", "J-Mean", 0.375, 3)
    assert [record["row"] for record in vidcorr.records(tmp_path, f"mine={tmp_path / 'r'}")] == ["A", "mine"]
    assert "Left out: " in capsys.readouterr().err
