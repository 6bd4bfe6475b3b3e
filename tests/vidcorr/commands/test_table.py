"""`vidcorr table`: which results of folders are its rows and columns, its flags, and odd names.

Also tests `reports/result_table.py`.
"""

import sys

from tests.helpers.runs import result_on_papers_davis, write_results
from tests.helpers.words import refusal
from vidcorr.cli import main
from vidcorr.experiments.reports.result_table import table
from vidcorr.metrics.declared import fractions
from vidcorr.results.published import published_rows
from vidcorr.results.rendering import render


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
        ([tmp_path, "--score", "J-Mean", "J&F"], "has J&F; did you mean J&F-Mean?"),
        ([tmp_path, "--score", "mIoU", "AJ"], "has mIoU or AJ; they have F-Mean, J&F-Mean, J-Decay and 1 more"),
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
