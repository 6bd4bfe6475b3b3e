"""The command `vidcorr`: its overview, its help, and how it ends; the help of the tools is in tests/test_site.py.

Also tests `vidcorr/__main__.py`.
"""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from unittest.mock import Mock

from tests.helpers.refusal import refused
from vidcorr.commands import GROUPS, RUNS, main, output_is_closed, tools


def test_the_overview_names_every_word_below_its_group(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word
    assert [line for line in shown.splitlines() if line.endswith(":")] == [f"{group}:" for group in GROUPS]
    assert shown.startswith("usage: vidcorr COMMAND [options]")
    assert shown.endswith(" --version.\n")
    main([])
    assert capsys.readouterr().out == shown
    main(["--version"])
    assert capsys.readouterr().out == f"vidcorr {version('vidcorr')}\n"


def test_the_help_of_a_run_shows_our_flags_and_where_the_others_are(capsys):
    main(["fit", "--help"])
    shown = capsys.readouterr().out
    for name in ("on", "protocol", "change", "stage", "stride", "limit", "allow", "every", "before"):
        assert re.search(rf"^  .*--{name}\b", shown, re.MULTILINE), name
    words = " ".join(shown.split())
    assert words.startswith("usage: vidcorr fit ")
    assert RUNS["fit"] in words
    assert words.endswith("options of Lightning: vidcorr fit --model NAME --help")


def test_help_of_a_tool_waits_for_neither_torch_nor_pydantic():
    modules = [f"vidcorr.commands.{tool.replace('-', '_')}" for tool in tools() if tool != "protocols"]
    script = (
        f"import sys, {', '.join(modules)}; print({{'torch', 'pydantic', 'jsonargparse'}}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_modules_of_the_working_directory_come_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for before, here in ((["elsewhere"], [str(tmp_path)]), ([""], [])):
        monkeypatch.setattr(sys, "path", list(before))
        for _ in range(2):
            main(["--help"])
            assert sys.path == [*before, *here]


def test_debug_shows_the_traceback(tmp_path):
    refused(ValueError, "No such file", main, ["evaluate", "raw_colour", "--on=davis=nowhere", "--debug"])


def test_debug_reaches_the_ranks_that_lightning_starts(monkeypatch):
    """They run the arguments of the process again."""
    seen, words = [], ["vidcorr", "fit", "--debug", "--seed_everything=1"]
    monkeypatch.setattr("vidcorr.commands.run_command", lambda args: seen.append((list(args), list(sys.argv))))
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert seen == [(["fit", "--seed_everything=1"], words)]


def test_a_reader_that_leaves_ends_the_command_with_141(monkeypatch):
    reader, writer = os.pipe()
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr("vidcorr.commands.run_command", Mock(side_effect=BrokenPipeError("of a socket")))
        refused(SystemExit, "^vidcorr: of a socket$", main, ["table"])
        assert not output_is_closed()
        os.close(reader)
        refused(SystemExit, "^141$", main, ["table"])
        print("what is left", flush=True)  # goes nowhere
