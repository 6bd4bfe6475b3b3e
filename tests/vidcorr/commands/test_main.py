"""The command `vidcorr`: its overview, its help, and how it ends; the help of the tools is in tests/test_site.py.

Also tests `vidcorr/__main__.py`.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands import RUNS, main, tools


def test_the_overview_names_every_word(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_the_help_of_a_run_shows_our_flags(capsys):
    main(["fit", "--help"])
    shown = capsys.readouterr().out
    for name in ("on", "protocol", "change", "stage", "stride", "limit", "allow", "every", "before"):
        assert re.search(rf"^  .*--{name}\b", shown, re.MULTILINE), name


def test_an_unknown_command_ends_with_status_2(capsys):
    refused(SystemExit, "^2$", main, ["fti"])
    assert capsys.readouterr().err.startswith("vidcorr: unknown command 'fti'. Commands: fit, validate, ")


def test_debug_shows_the_traceback(tmp_path):
    refused(ValueError, "No such file", main, ["evaluate", "raw_colour", "--on=davis=nowhere", "--debug"])


def test_debug_reaches_the_ranks_that_lightning_starts(monkeypatch):
    """They run the arguments of the process again."""
    seen, words = [], ["vidcorr", "fit", "--debug", "--seed_everything=1"]
    monkeypatch.setattr("vidcorr.commands.run_command", lambda args: seen.append((list(args), list(sys.argv))))
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert seen == [(["fit", "--seed_everything=1"], words)]


def said_into_a_closed_pipe(*words):
    """Run a command whose output nobody reads; return its status and its messages."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "vidcorr", *words]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.slow
def test_no_command_complains_of_a_reader_that_has_left():
    """A reader such as `head` ends before the command."""
    for command in (*RUNS, *tools()):
        assert said_into_a_closed_pipe(command, "--help")[1] == "", command
    for words in (["--help"], ["protocols"], ["protocols", "vfs"], ["reproduce"], ["study", "studies/vfs_small.yaml"]):
        assert said_into_a_closed_pipe(*words) == (141, ""), words
