"""Names of strangers in tables: no letter of theirs moves a cursor, turns words around, or breaks a table."""

import math

import pytest

from tests.helpers.runs import davis_result, write_results
from vidcorr.commands.table import command
from vidcorr.experiments.table import gather_records
from vidcorr.results.formats import latex_text, one_line
from vidcorr.results.result import Network, Result
from vidcorr.results.tables import render, tabulate

UNPRINTABLE = "\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
"""Moves a cursor, rings, ends a text, turns words around, is invisible, breaks a line, is a byte of a path."""


def test_unprintable_letters_are_shown_as_codes_and_others_stay(tmp_path, capsys):
    assert one_line("été τ\n日本") == "été τ 日本"
    network = Network(name=f"n{UNPRINTABLE}")
    davis_result({"J-Mean": 0.5}, network=network, benchmark=f"b{UNPRINTABLE}").save(tmp_path / "a")
    Result.load(tmp_path / "a").print()
    for words in (["md"], ["tex"], ["csv"]):
        command([str(tmp_path / "a"), "--format", *words])
    text = capsys.readouterr().out
    assert r"\u202e" in text
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(text)
    command([str(tmp_path / "a"), "--page", str(tmp_path / "page")])  # bytes of a path are written as codes


def test_letters_of_latex():
    assert latex_text("a&b%c_d#e$f~g^h\\i{j}<k>") == (
        r"a\&b\%c\_d\#e\$f\textasciitilde{}g\textasciicircum{}h\textbackslash{}i\{j\}\textless{}k\textgreater{}"
    )
    assert latex_text("−1 ± 2") == r"$-$1 $\pm$ 2"
    assert latex_text("two\n\nparagraphs") == "two paragraphs"


def test_a_seed_without_a_score_makes_the_row_undefined(tmp_path):
    for seed, score in enumerate((0.5, math.nan, 0.7)):
        write_results(tmp_path / str(seed), {"J-Mean": score}, "A", "d", 8, network_seed=seed, recipe="r")
    table = tabulate(gather_records([tmp_path]))
    assert "| A | – |" in render(table)
    (cell,) = table.cells
    assert math.isnan(cell.deviation)
    for words in (["--format", "tex"], ["--format", "csv"], ["--page", str(tmp_path / "page")]):
        command([str(tmp_path), *words])


def test_an_infinite_number_is_refused_where_it_arises():
    with pytest.raises(ValueError, match="is infinite: give a finite number, or NaN if it is undefined"):
        davis_result({"J-Mean": math.inf})
