"""`vidcorr table`: which results of folders are its rows and columns, its flags, and odd names.

Also tests `reports/table.py`.
"""

import math
import sys

from tests.helpers.runs import davis_result, result_on_papers_davis, write_results
from tests.helpers.words import refusal
from vidcorr.cli import main
from vidcorr.experiments.reports.table import table
from vidcorr.metrics.declared import fractions
from vidcorr.results.published import published_rows
from vidcorr.results.rendering import render
from vidcorr.results.result import Network, Result


def write(folder, network, j=0.5, shifts=(-0.25, -0.15, 0.05, 0.35), **more):
    """Write a result of three scores with J of a video each, and return its folder."""
    videos = {"videos": {"J-Mean": {str(n): [j + shift] for n, shift in enumerate(shifts)}}}
    scores = {"J&F-Mean": j + 0.05, "J-Mean": j, "F-Mean": j + 0.1, "J-Decay": 0.2}
    return write_results(folder, scores, **{"network": network, "digest": "d1", "sequences": 4} | videos | more)


def printed(capsys, *words):
    main(["table", *map(str, words)])
    return capsys.readouterr().out


def test_the_results_of_folders_are_rows_under_their_names_with_their_main_scores(tmp_path, capsys, recorded):
    """Below the parent, which comes last, they have no name."""
    ours = []
    for seed in range(3):
        folder = tmp_path / f"ours-{seed}"
        ours.append(write(folder, f"x{seed}", 0.6 + seed / 50, network_seed=seed, recipe="r"))
    base = write(tmp_path / "base", "B", 0.4, declared=fractions("J-Mean"))
    words = [*(f"ours={folder}" for folder in ours), base, base.parent, "--base", "B"]
    found = [printed(capsys, *words), printed(capsys, f"ours={tmp_path}/ours-*", base, "--score", "J-Mean")]
    assert [text.splitlines() for text in found] == recorded["printed"]


def test_what_is_no_table_is_refused(tmp_path):
    write(tmp_path / "b", "B")
    for words, said in (
        ([tmp_path / "b", "--base", "Z"], "base 'Z' names no rows; the rows are B"),
        ([tmp_path, "--score", "mIoU", "AJ"], f"no result in {tmp_path} has mIoU or AJ"),
        ([tmp_path, tmp_path, "--study", "studies/vfs_small.yaml"], "table --study: name one folder"),
        ([tmp_path, "--study", "studies/vfs_small.yaml", "--published"], "leave --published out"),
    ):
        assert said in refusal("table", *words)


def test_a_pipe_gets_markdown_and_a_terminal_text_that_fits(tmp_path, monkeypatch, capsys):
    write(tmp_path / "a", "A")
    assert printed(capsys, tmp_path) == printed(capsys, tmp_path, "--format", "md", "--intervals")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    found = table([tmp_path])
    assert printed(capsys, tmp_path) == render(found, "text", width=60)
    assert printed(capsys, tmp_path, "--format", "tex") == render(found, "tex", intervals=False)


UNPRINTABLE = "\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
"""Moves a cursor, rings, ends a text, turns words around, is invisible, breaks a line, is a byte of a path."""


def test_unprintable_letters_are_shown_as_codes_and_others_stay(tmp_path, capsys):
    network = Network(name=f"n{UNPRINTABLE}")
    davis_result({"J-Mean": 0.5}, network=network, benchmark=f"b{UNPRINTABLE}").save(tmp_path / "a")
    Result.load(tmp_path / "a").print()
    text = "".join(printed(capsys, tmp_path / "a", "--format", kind) for kind in ("md", "tex", "csv"))
    assert r"\u202e" in text
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(text)


def test_a_seed_without_a_score_makes_the_row_undefined(tmp_path, capsys):
    for seed, score in enumerate((0.5, math.nan, 0.7)):
        write_results(tmp_path / str(seed), {"J-Mean": score}, "A", network_seed=seed, recipe="r")
    (cell,) = table([tmp_path]).cells
    assert math.isnan(cell.deviation)
    assert "| A | – |" in printed(capsys, tmp_path)
    for words in (["--format", "tex"], ["--format", "csv"], ["--format", "html"]):
        printed(capsys, tmp_path, *words)


def test_published_rows_stand_beside_the_whole_test_set_by_their_protocol_with_their_doubts(tmp_path, capsys):
    result_on_papers_davis("vfs", "whole").save(tmp_path / "whole")
    result_on_papers_davis("vfs", "part", limit_sequences=2).save(tmp_path / "part")
    result_on_papers_davis("vfs+topk=5", "own").save(tmp_path / "own")
    papers = [row for row in published_rows() if (row.benchmark, row.protocol) == ("davis", "vfs")]
    assert len(papers) > 1
    said = printed(capsys, tmp_path / "whole", "--published")
    assert said.count("(published)") == len(papers)
    for row in papers:
        assert f"| {row.name} (published) | " in said
        assert row.doubt in said
    for other in ("part", "own"):
        assert "(published)" not in printed(capsys, tmp_path / other, "--published")
    assert "(published)" not in printed(capsys, tmp_path / "whole")
