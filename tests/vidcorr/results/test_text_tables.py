"""Names of strangers in tables: no letter of theirs moves a cursor, turns words around, or is markup."""

import json
import math
import re

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr.commands.table import command
from vidcorr.experiments.table import gather_results
from vidcorr.results.page import write_report
from vidcorr.results.rendering import render
from vidcorr.results.result import Network, Result
from vidcorr.results.text_tables import html_table, latex_row, latex_text, markdown_table, visible

UNPRINTABLE = "\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
"""Moves a cursor, rings, ends a text, turns words around, is invisible, breaks a line, is a byte of a path."""


def test_unprintable_letters_are_shown_as_codes_and_others_stay():
    assert visible(UNPRINTABLE) == r"\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
    for text in ("été τ 日本", "👩\u200d🔬", "می\u200cخواهم", "two\nlines"):
        assert visible(text) == text


PRINTED = ([], ["--paper"], ["--format", "tex"], ["--paper", "--format", "latex"], ["--format", "csv"])


@pytest.mark.parametrize("words", PRINTED, ids=" ".join)
def test_no_table_prints_an_unprintable_letter(words, tmp_path, capsys):
    for name in "ab":
        davis_result({"J-Mean": 0.5}, network=Network(name=f"n{UNPRINTABLE}"), benchmark=f"b{UNPRINTABLE}").save(
            tmp_path / name
        )
    command([str(tmp_path / "a"), *words])
    text = capsys.readouterr().out
    assert r"\u202e" in text.replace(r"\textbackslash{}", "\\")
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(text)


def test_no_page_holds_an_unprintable_letter(tmp_path, capsys):
    folder = write_results(
        tmp_path / "a", {"J-Mean": 0.5}, f"n{UNPRINTABLE}", "d1", 8, rules={UNPRINTABLE: UNPRINTABLE}
    )
    command([str(folder), "--page", str(tmp_path / "page")])
    page = (tmp_path / "page/results.html").read_text()
    report = write_report(folder).read_text()
    letters = set(UNPRINTABLE) - set("[2J\r")
    assert not letters & set(page)
    content = re.search(r'<script type="application/json"[^>]*>(.*?)</script>|= (\{"result".*\});?\n', report)
    drawn = json.dumps(json.loads(content[1] or content[2]), ensure_ascii=False)
    assert not letters & set(drawn)
    Result.load(folder).print()
    assert r"\u202e" in capsys.readouterr().out


def test_letters_of_latex():
    assert latex_text("a&b%c_d#e$f~g^h\\i{j}<k>") == (
        r"a\&b\%c\_d\#e\$f\textasciitilde{}g\textasciicircum{}h\textbackslash{}i\{j\}\textless{}k\textgreater{}"
    )
    assert latex_text("τ = 0.07 × 2 → δ ± 1") == r"$\tau$ = 0.07 $\times$ 2 $\to$ $\delta$ $\pm$ 1"
    assert latex_text("two\n\nparagraphs") == "two paragraphs"
    assert latex_row(["[ours]", "1"]) == r"{}[ours] & 1 \\"
    assert latex_row(["*ours", "1"]) == r"{}*ours & 1 \\"
    assert latex_row(["ours", "[1]"]) == r"ours & [1] \\"


@pytest.mark.parametrize("words", [["--format", "tex"], ["--paper", "--format", "tex"]])
def test_a_row_of_latex_never_begins_as_an_argument_of_the_row_before(words, tmp_path, capsys):
    for name in ("[ours]", "*star"):
        write_results(tmp_path / name, {"J-Mean": 0.5}, name, "d", 8)
    command([str(tmp_path), *words])
    lines = capsys.readouterr().out.splitlines()
    assert sum("{}[ours]" in line or "{}*star" in line for line in lines) == 2
    assert not any(line.startswith(("[", "*")) for line in lines)


def test_names_mean_nothing_in_markdown_and_scores_stay_bold():
    text = markdown_table(["", "a*b"], [["<b>*x*</b> `y` $z$ ~~w~~ u|v a_b", "**50.0** [40.0, 60.0]"]])
    head, _, row = text.splitlines()
    assert head == r"|  | a\*b |"
    assert row == r"| \<b>\*x\*\</b> \`y\` \$z\$ \~~w\~~ u\|v a_b | **50.0** [40.0, 60.0] |"


def test_a_name_is_never_bold_in_a_notebook():
    assert html_table(["", "J"], [["**12.5** <b>", "**50.0**"]]).endswith(
        "<tr><td>**12.5** &lt;b&gt;</td><td><b>50.0</b></td></tr></table>"
    )


def test_a_seed_without_a_score_makes_the_row_undefined(tmp_path, capsys):
    for seed, score in enumerate((0.5, math.nan, 0.7)):
        write_results(tmp_path / str(seed), {"J-Mean": score}, "A", "d", 8, network_seed=seed, recipe="r")
    table = gather_results([tmp_path])
    assert "| A | – |" in render(table)
    (cell,) = table.cells
    assert math.isnan(cell.deviation)
    for words in ([], ["--paper"], ["--format", "csv"], ["--page", str(tmp_path / "page")]):
        command([str(tmp_path), *words])


def test_an_infinite_number_is_refused_where_it_arises():
    message = "is infinite: give a finite number, or NaN if it is undefined"
    refused(ValueError, message, lambda: _one_line_of(davis_result, {"J-Mean": math.inf}))
    refused(ValueError, message, lambda: _one_line_of(davis_result, {}, data={"scale": -math.inf}))
    refused(ValueError, message, lambda: _one_line_of(davis_result, {}, seconds=math.inf))


def _one_line_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from error


def test_a_result_of_another_version_says_so(tmp_path):
    write_results(tmp_path, {"J-Mean": 0.5}, "A", versions={"vidcorr": "99.1"})
    file = tmp_path / "results.json"
    file.write_text(file.read_text().replace('"benchmark"', '"schema": 7, "benchmark"', 1))
    message = refusal("table", tmp_path)
    assert "results.json: was written by vidcorr 99.1, and this is" in message
    assert "schema: unknown key" in message
