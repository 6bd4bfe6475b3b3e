"""Names of strangers in tables: no letter of theirs moves a cursor, turns words around, or is markup."""

import json
import math
import re

import pytest

from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr.commands.table import command
from vidcorr.experiments.table import gather_records
from vidcorr.results.formats import grid, latex_text, visible
from vidcorr.results.page import write_report
from vidcorr.results.result import Network, Result
from vidcorr.results.tables import render, tabulate

UNPRINTABLE = "\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
"""Moves a cursor, rings, ends a text, turns words around, is invisible, breaks a line, is a byte of a path."""


def test_unprintable_letters_are_shown_as_codes_and_others_stay():
    assert visible(UNPRINTABLE) == r"\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
    for text in ("été τ 日本", "👩\u200d🔬", "می\u200cخواهم", "two\nlines"):
        assert visible(text) == text


PRINTED = ([], ["--paper", "--format", "latex"], ["--format", "csv"])


@pytest.mark.parametrize("words", PRINTED, ids=" ".join)
def test_no_table_prints_an_unprintable_letter(words, tmp_path, capsys):
    network = Network(name=f"n{UNPRINTABLE}")
    davis_result({"J-Mean": 0.5}, network=network, benchmark=f"b{UNPRINTABLE}").save(tmp_path / "a")
    command([str(tmp_path / "a"), *words])
    text = capsys.readouterr().out
    assert r"\u202e" in text.replace(r"\textbackslash{}", "\\")
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(text)


def test_no_page_holds_an_unprintable_letter(tmp_path, capsys):
    rules = {UNPRINTABLE: UNPRINTABLE}
    folder = write_results(tmp_path / "a", {"J-Mean": 0.5}, f"n{UNPRINTABLE}", "d1", 8, rules=rules)
    command([str(folder), "--page", str(tmp_path / "page")])
    page = (tmp_path / "page/results.html").read_text()
    (content,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', write_report(folder).read_text())
    drawn = json.dumps(json.loads(content), ensure_ascii=False)
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(page + drawn)
    Result.load(folder).print()
    assert r"\u202e" in capsys.readouterr().out


def test_letters_of_latex():
    assert latex_text("a&b%c_d#e$f~g^h\\i{j}<k>") == (
        r"a\&b\%c\_d\#e\$f\textasciitilde{}g\textasciicircum{}h\textbackslash{}i\{j\}\textless{}k\textgreater{}"
    )
    assert latex_text("τ = 0.07 × 2 → δ ± 1") == r"$\tau$ = 0.07 $\times$ 2 $\to$ $\delta$ $\pm$ 1"
    assert latex_text("two\n\nparagraphs") == "two paragraphs"


def test_a_row_of_latex_never_begins_as_an_argument_of_the_row_before():
    lines = grid("tex", ["", "J"], [["[ours]", "1"], ["*ours", "1"], ["ours", "[1]"]]).splitlines()
    assert lines[4:7] == [r"{}[ours] & 1 \\", r"{}*ours & 1 \\", r"ours & [1] \\"]


def test_names_mean_nothing_in_markdown_and_scores_stay_bold():
    text = grid("md", ["", "a*b"], [["<b>*x*</b> `y` $z$ ~~w~~ u|v a_b", "**50.0** [40.0, 60.0]"]])
    head, _, row = text.splitlines()
    assert head == r"|  | a\*b |"
    assert row == r"| \<b>\*x\*\</b> \`y\` \$z\$ \~~w\~~ u\|v a_b | **50.0** [40.0, 60.0] |"


def test_a_name_is_never_bold_in_a_notebook():
    assert grid("html", ["", "J"], [["**12.5** <b>", "**50.0**"]]).endswith(
        "<tr><td>**12.5** &lt;b&gt;</td><td><b>50.0</b></td></tr></table>"
    )


def test_a_seed_without_a_score_makes_the_row_undefined(tmp_path):
    for seed, score in enumerate((0.5, math.nan, 0.7)):
        write_results(tmp_path / str(seed), {"J-Mean": score}, "A", "d", 8, network_seed=seed, recipe="r")
    table = tabulate(gather_records([tmp_path]))
    assert "| A | – |" in render(table)
    (cell,) = table.cells
    assert math.isnan(cell.deviation)
    for words in ([], ["--paper"], ["--format", "csv"], ["--page", str(tmp_path / "page")]):
        command([str(tmp_path), *words])


def test_an_infinite_number_is_refused_where_it_arises():
    message = "is infinite: give a finite number, or NaN if it is undefined"
    with pytest.raises(ValueError, match=message):
        davis_result({"J-Mean": math.inf})
    with pytest.raises(ValueError, match=message):
        davis_result({}, data={"scale": -math.inf})


def test_a_result_of_another_version_says_so(tmp_path):
    write_results(tmp_path, {"J-Mean": 0.5}, "A", versions={"vidcorr": "99.1"})
    file = tmp_path / "results.json"
    file.write_text(file.read_text().replace('"benchmark"', '"schema": 7, "benchmark"', 1))
    message = refusal("table", tmp_path)
    assert "results.json: was written by vidcorr 99.1, and this is" in message
    assert "schema: unknown key" in message
