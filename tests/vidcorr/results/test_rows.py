"""Rows, columns and differences of tables of results on disk.

Also tests `reports/result_table.py`, `results/records.py`, `results/tabulate.py`.
"""

import csv
import json
import math
import re
from dataclasses import replace
from statistics import fmean

import pytest

import vidcorr
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr.cli import main
from vidcorr.experiments.reports.result_table import table
from vidcorr.metrics.declared import fractions
from vidcorr.results.cells import published_cell
from vidcorr.results.rendering import render
from vidcorr.results.result import Network, ProtocolFacts, Result, Row, Setup


def save(folder, values, **network):
    """Store a result of J of objects, `VIDEO_OBJECT` → value; its score is their mean."""
    rows = []
    for name, value in values.items():
        video, _, number = name.partition("_")
        rows.append(Row(video=video, object=number, values={"J-Mean": value}))
    videos = list(dict.fromkeys(row.video for row in rows))
    fields = {"rows": rows, "sequences": videos, "digests": dict.fromkeys(videos, "d")}
    fields |= {"conditions": [f"{len(videos)} sequences"], "declared": fractions("J-Mean")}
    mean = network.pop("mean", None) or fmean(value for value in values.values() if not math.isnan(value))
    fields |= {"network": Network(**{"name": "A", "recipe": "r"} | network)}
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


OURS = {"recipe": "r", "step": 200}
OWN = {"recipe": "", "spec": "my:net", "seed": None}
"""Of a person's own code, whose checkpoints are all called last.ckpt."""
SEEDS = {
    "three seeds": ([(0.2, OURS | {"seed": seed, "digest": f"w{seed}"}) for seed in range(3)], 3, ""),
    "own code": ([(0.2 + n / 9, OWN | {"name": f"my:net=r{n}/last.ckpt", "digest": f"w{n}"}) for n in range(3)], 3, ""),
    "random weights, by number": ([(0.2, {"loaded": False, "recipe": "", "seed": n}) for n in range(2)], 2, ""),
    "one number, other weights": ([(n / 9, OWN | {"seed": 0, "digest": f"w{n}"}) for n in (1, 2)], 2, ""),
    "a copy, also of own code": (
        [(0.2, OWN | {"digest": digest}) for digest in "aba"],
        2,
        "/2 is a copy of .*/0 and counts",
    ),
    "by two machines": (
        [(0.2 + n / 1e5, OURS | {"seed": n // 2, "digest": f"w{n // 2}"}) for n in range(3)],
        2,
        "/1 has the weights of .*/0 and counts once",
    ),
    "stopped at half": (
        [(0.2, OURS | {"seed": n, "digest": f"w{n}", "step": 100 if n == 1 else 200}) for n in range(3)],
        2,
        "/1 is at step 100, not 200, and is left out",
    ),
    "stopped at half, of two": (
        [(0.2, OURS | {"seed": n, "digest": f"w{n}", "step": 200 - 100 * n}) for n in range(2)],
        1,
        "/1 is at step 100, not 200",
    ),
    "no step known": ([(0.2, OURS | {"seed": n, "digest": f"w{n}", "step": n * 9 or None}) for n in range(2)], 2, ""),
    "two recipes": (
        [(0.2, {"recipe": recipe, "digest": recipe}) for recipe in "rs"],
        0,
        "names two networks, A in .*/0 and",
    ),
    "two architectures": ([(0.2, OWN | {"spec": f"my:{n}", "digest": n}) for n in "ab"], 0, "names two networks"),
    "random and trained": ([(0.2, OWN | {"loaded": n == "a", "digest": n}) for n in "ab"], 0, "names two networks"),
    "a training run twice": (
        [(0.2 + n / 9, OURS | {"seed": 0, "digest": f"w{n}"}) for n in range(2)],
        0,
        "two results of seed 0 of davis, .*/0 and .*/1; name one of them",
    ),
    "unknown weights": ([(0.2, {"seed": None}), (0.3, {"seed": 0})], 0, "two results of seed 0 of davis"),
}
"""Case → J and network of each result under one NAME, how many are its seeds (0: refused), and what is said."""


@pytest.mark.parametrize("case", SEEDS)
def test_a_seed_of_a_name_is_a_set_of_weights_at_a_step(case, tmp_path):
    """Without a NAME no result is lost: those that are no seeds of the first are rows of their own."""
    results, count, said = SEEDS[case]
    for number, (j, network) in enumerate(results):
        save(tmp_path / str(number), {"a": j, "b": j}, **network)
    named = [f"x={tmp_path / str(number)}" for number in range(len(results))]
    copies = said.endswith(("counts", "counts once"))
    if count:
        found = table(named)
        assert ([len(cell.scores) for cell in found.cells], list(found.rows)) == ([count], ["x"])
        assert re.search(said, " ".join(found.notes)) if said else not found.notes
    else:
        refused(ValueError, said, table, named)
    found = table([tmp_path])
    assert sum(len(cell.scores) for cell in found.cells) == len(results) - copies


def test_a_result_that_is_no_seed_has_a_row_and_its_copy_none(tmp_path):
    for place, j in (("0", 0.2), ("also 0", 0.3), ("also again", 0.3)):
        save(tmp_path / place, {"a": j, "b": j}, seed=0)
    found = table([tmp_path])
    assert list(found.rows) == [f"A ({tmp_path}/{place})" for place in ("0", "also 0")]
    assert f"A: {tmp_path}/also again is a copy of {tmp_path}/also 0 and counts once" in found.notes


def test_a_seed_at_another_stage_is_a_row_of_its_own(tmp_path):
    for number in range(3):
        network = OURS | {"seed": number, "digest": f"w{number}"}
        save(tmp_path / str(number), {"a": 0.5, "b": 0.2}, **network)
        if number == 2:
            result = Result.load(tmp_path / "2")
            result.model_copy(update={"stage": Setup(layer="res3", stride=8)}).save(tmp_path / "2")
    found = table([f"x={tmp_path}/*"])
    assert {name: len(cell.scores) for name, row in found.rows.items() for cell in row.values()} == {
        "x": 2,
        "x, res3, stride 8": 1,
    }


def test_names_end_where_a_folder_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a=b", {"a": 0.5, "b": 0.25})
    for name in ("w/o colour", "n=2", r"$\lambda=0$", "a", ""):
        assert list(table([f"{name}=a=b" if name else "a=b"]).rows) == [name or "A"]
    refused(ValueError, "x=: there is no such folder", table, ["x="])
    for score, answer in (("j-mean", "did you mean J-Mean"), ("J", "they have J-Mean")):
        refused(ValueError, f"has {score}; {answer}", table, ["a=b"], [score])


def test_a_seed_whose_score_is_nan_is_named(tmp_path):
    for number, j in enumerate((0.5, math.nan)):
        save(tmp_path / str(number), {"a": j, "b": j}, seed=number, mean=j)
    text = render(table([f"x={tmp_path}/*"]), "md")
    assert f"x has no defined J-Mean of seed 1: {tmp_path}/1." in text


OTHERS = {
    "year": ({"conditions": ["2016", "val", "2 sequences"]}, "it is of 2016, not of 2017"),
    "rules": ({"data": {"rules": {"frames": "all"}}}, "it is by other rules of scoring"),
    "protocol": ({"stage": Setup(protocol=ProtocolFacts(shared_name="dino", shared="d"))}, "it is by dino"),
    "digest": ({"stage": Setup(protocol=ProtocolFacts(shared_name="vfs", shared="d"))}, "it is by another protocol"),
    "sequences": ({"rows": [Row(video="c", values={"J-Mean": 0.5})]}, "it has no sequence in common"),
    "no rows": ({"rows": ()}, "it has no defined J-Mean by sequence"),
    "data": ({"digests": {"a": "e", "b": "d"}}, "it has other frames or annotations of a"),
    "copy": ({"network": Network(name="theirs", digest="w")}, "it is a copy"),
    "benchmark": ({"benchmark": "vip"}, "theirs has no result on vip to compare with"),
    "base": ({}, "it has no results to pair with"),
}
"""Reason → what differs from the base row, and what is said."""


@pytest.mark.parametrize("case", OTHERS)
def test_a_comparison_that_is_not_made_has_a_reason(case, tmp_path):
    rows = [Row(video=video, values={"J-Mean": 0.5}) for video in "ab"]
    about = {"rows": rows, "sequences": ["a", "b"], "digests": {"a": "d", "b": "d"}, "declared": fractions("J-Mean")}
    about |= {"conditions": ["2017", "val", "2 sequences"], "network": Network(name="theirs", digest="w")}
    about["stage"] = Setup(protocol=ProtocolFacts(shared_name="vfs", shared="c"))
    davis_result({"J-Mean": 0.5}, **about).save(tmp_path / "theirs")
    changed, said = OTHERS[case]
    davis_result({"J-Mean": 0.5}, **about | {"network": Network(name="ours")} | changed).save(tmp_path / "ours")
    found = table([f"ours={tmp_path}/ours", f"theirs={tmp_path}/theirs"])
    if case == "base":
        (column,) = found.columns
        found = replace(found, rows=found.rows | {"theirs": {column: published_cell(0.5)}})
    compared = found.with_differences("theirs")
    assert said in " ".join(render(compared, "text").split())
    assert all(cell.difference is None for cell in compared.cells)


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
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/results.json").write_text("{")
    four = {"a": 0.5, "b": 0.25, "c": 0.5, "d": 0.25}
    result = Result.load(save(tmp_path / "r", four, seed=3, step=200))
    result.model_copy(update={"stage": Setup(layer="res4", stride=8)}).save(tmp_path / "r")
    (found,) = vidcorr.records(tmp_path, f"mine={tmp_path / 'r'}")[:1]
    about = {"row": "A", "score": "J-Mean", "value": 0.375, "seed": 3, "step": 200, "stage": "res4", "stride": 8}
    assert found.items() >= about.items()
    assert (round(found["low"], 3), round(found["high"], 3)) == (0.145, 0.605)
    assert [record["row"] for record in vidcorr.records(tmp_path, f"mine={tmp_path / 'r'}")] == ["A", "mine"]
    assert "Left out: " in capsys.readouterr().err
