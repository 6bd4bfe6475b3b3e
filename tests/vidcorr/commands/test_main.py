"""The command `vidcorr`: its overview, its help, and how it ends."""

import io
import os
import re
import shutil
import sys

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands import RUNS, main, overview, tools
from vidcorr.experiments.config_files import CONFIGS


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_word(words, capsys):
    main(words)
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_the_overview_lists_a_command_without_a_group(monkeypatch):
    monkeypatch.setattr("vidcorr.commands.GROUPS", {"train": ("fit",)})
    train, other = overview().split("\ntrain:\n")[1].split("\nother:\n")
    assert train.startswith("  fit ")
    assert "\n  evaluate " in other


def test_the_help_of_a_run_shows_our_flags(capsys):
    main(["fit", "--help"])
    shown = capsys.readouterr().out
    for name in ("config", "model", "data", "ckpt_path", "on", "protocol", "change", "stage", "stride", "limit"):
        assert re.search(rf"^  .*--{name}\b", shown, re.MULTILINE), name


def test_version(capsys):
    main(["--version"])
    assert re.match(r"vidcorr \d+\.\d+\.\d+ \(torch \d", capsys.readouterr().out)


def test_an_unknown_command_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fti"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("vidcorr: unknown command 'fti'. Commands: fit, validate, ")


def test_a_file_name_that_is_not_utf8_is_printed_as_it_is(video_folder, tmp_path, monkeypatch):
    source, printed = tmp_path / "videos", io.BytesIO()
    shutil.copytree(video_folder, source)
    (source / os.fsdecode(b"bad\xff.mp4")).write_bytes(b"no video")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", errors="strict"))
    with pytest.raises(SystemExit):
        main(["check-data", str(source), "--output", str(tmp_path / "checked"), "--workers", "1"])
    sys.stdout.flush()
    assert b"bad\xff.mp4: cannot be opened as a video" in printed.getvalue()


def test_debug_shows_the_traceback(tmp_path):
    refused(ValueError, "no such folder", main, ["evaluate", "raw_colour", "--on=davis=nowhere", "--debug"])


def test_debug_reaches_the_ranks_that_lightning_starts(monkeypatch):
    """They run the arguments of the process again."""
    seen, words = [], ["vidcorr", "fit", "--debug", "--seed_everything=1"]
    monkeypatch.setattr("vidcorr.commands.run_command", lambda args: seen.append((list(args), list(sys.argv))))
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert seen == [(["fit", "--seed_everything=1"], words)]


def test_the_configs_are_where_names_are_looked_for():
    assert (CONFIGS / "data/kinetics.yaml").is_file()
