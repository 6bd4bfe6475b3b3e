"""Tables as LaTeX, of studies, and with names of strangers: no letter of theirs moves a cursor or breaks a table."""

import math

import pytest

from cli import main
from tests.helpers.runs import davis_result, write_results
from vidcorr.commands.table import command
from vidcorr.experiments.table import gather_records
from vidcorr.results.formats import one_line
from vidcorr.results.records import records_of
from vidcorr.results.result import Network, Protocol, Result, Stage
from vidcorr.results.tables import render, tabulate

SCORES = {"J&F-Mean": 0.66, "J-Mean": 0.6, "F-Mean": 0.72}
VFS = Protocol(name="vfs", digest="d1", shared_name="vfs", shared="d1")


def write(folder, name, shift=0.0, stride=8, **more):
    """Write a result of eight sequences."""
    videos = {str(n): [0.6 + shift + 0.01 * n] for n in range(8)}
    columns = {"J-Mean": videos, "F-Mean": {video: [value + 0.1 for value in videos[video]] for video in videos}}
    scores = {key: value + shift for key, value in SCORES.items()}
    stage = Stage(stride=stride, protocol=VFS)
    write_results(folder, scores, **{"network": name, "sequences": 8, "videos": columns, "stage": stage} | more)


def printed(folder, *words, capsys):
    main(["table", str(folder), *words])
    return capsys.readouterr().out


def test_latex_says_protocol_seeds_and_base_in_the_caption(tmp_path, capsys):
    for seed in (0, 1):
        write(tmp_path / f"run{seed}", "my_net & co", 0.02 * seed, network_seed=seed, recipe="r")
    write(tmp_path / "b", "B", 0.1)
    text = printed(tmp_path, "--format", "tex", "--base", "B", capsys=capsys)
    assert r" & davis J\&F-Mean & davis J-Mean & davis F-Mean \\" in text
    assert r"my\_net \& co & 67.0 $\pm$ 1.4; $-$9.0 & 61.0 $\pm$ 1.4; $-$9.0 & 73.0 $\pm$ 1.4; $-$9.0 \\" in text
    assert r"B & \textbf{76.0} & \textbf{70.0} & \textbf{82.0} \\" in text
    caption = (
        r"\caption{Scores in per cent. davis (vfs, 8 sequences). Mean $\pm$ standard deviation over seeds. "
        "After “;”: difference from B.}"
    )
    assert caption in text
    crw = Protocol(name="crw", digest="d2", shared_name="crw", shared="d2")
    write(tmp_path / "c", "A", stage=Stage(stride=8, protocol=crw))
    text = printed(tmp_path, "--format", "tex", "--score", "J-Mean", capsys=capsys)
    assert r"davis J-Mean (vfs, 8 sequences) & davis J-Mean (crw, 8 sequences) \\" in text


def test_the_scores_that_a_benchmark_names_are_the_columns():
    result = davis_result(dict.fromkeys("abcd", 0.5), headline=["d", "a"])
    table = tabulate(records_of(result, result.main_scores()))
    assert [column.score for column in table.columns.values()] == ["d", "a"]


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
