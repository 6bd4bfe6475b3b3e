"""The command `vidcorr`: its overview, its help, and how it ends; the help of the tools is in tests/test_site.py.

Also tests `vidcorr/__main__.py`.
"""

import gc
import os
import re
import select
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

from tests.helpers.refusal import refused
from vidcorr import commands
from vidcorr.commands import COMMANDS, RUNS, main, start_collector


def test_the_overview_names_every_word_below_its_group(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert re.findall(r"^  (\S+) ", shown, re.MULTILINE) == [command.name for command in COMMANDS]
    groups = ["train:", "score:", "look:", "data and weights:"]
    assert [line for line in shown.splitlines() if line.endswith(":")] == groups
    assert shown.startswith("usage: vidcorr COMMAND [options]")
    assert shown.endswith(" --version.\n")
    main([])
    assert capsys.readouterr().out == shown
    main(["--version"])
    assert capsys.readouterr().out == f"vidcorr {version('vidcorr')}\n"


def test_every_file_is_a_command():
    files = {file.stem.replace("_", "-") for file in Path(commands.__file__).parent.glob("[!_]*.py")}
    assert files == {command.name for command in COMMANDS}.difference(RUNS)


def test_the_help_of_a_run_shows_our_flags_and_where_the_others_are(capsys):
    refused(SystemExit, "^0$", main, ["fit", "--help"])
    shown = capsys.readouterr().out
    for name in ("on", "protocol", "change", "stage", "stride", "limit", "every", "before"):
        assert re.search(rf"^  .*--{name}\b", shown, re.MULTILINE), name
    words = " ".join(shown.split())
    assert words.startswith("usage: vidcorr fit ")
    assert COMMANDS[0].line in words
    assert words.endswith("options of Lightning: vidcorr fit --model NAME --help")


def test_help_of_a_tool_waits_for_neither_torch_nor_pydantic():
    script = "import sys; from vidcorr.commands import COMMANDS; [command.parser() for command in COMMANDS]; "
    script += "print({'torch', 'pydantic', 'jsonargparse'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_modules_of_the_working_directory_come_last(here, monkeypatch):
    for before, added in ((["elsewhere"], [str(here)]), ([""], [])):
        monkeypatch.setattr(sys, "path", list(before))
        for _ in range(2):
            main(["--help"])
            assert sys.path == [*before, *added]


def test_debug_shows_the_traceback(tmp_path):
    refused(ValueError, "there is no such file", main, ["evaluate", "raw_colour", "--on=davis=nowhere", "--debug"])


def test_debug_reaches_the_ranks_that_lightning_starts(monkeypatch):
    """They run the arguments of the process again."""
    seen, words = [], ["vidcorr", "fit", "--debug", "--seed_everything=1"]
    monkeypatch.setattr("vidcorr.commands.run_command", lambda args: seen.append((list(args), list(sys.argv))))
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert seen == [(["fit", "--seed_everything=1"], words)]


def test_a_reader_that_leaves_ends_the_command_with_141(monkeypatch):
    monkeypatch.delattr(select, "poll")  # Windows has none
    reader, writer = os.pipe()
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr("vidcorr.commands.run_command", Mock(side_effect=BrokenPipeError("of a socket")))
        refused(SystemExit, "^vidcorr: of a socket$", main, ["table"])
        os.close(reader)
        refused(SystemExit, "^141$", main, ["table"])
        print("what is left", flush=True)  # goes nowhere


def test_the_collector_waits_while_the_modules_of_a_process_load(monkeypatch):
    """In a process that runs several commands it is left alone."""
    told, at_exit = [], []
    monkeypatch.setattr("vidcorr.commands.run_command", lambda words: told.append(gc.isenabled()))
    monkeypatch.setattr("atexit.register", at_exit.append)
    main(["protocols"])
    monkeypatch.setattr(sys, "argv", ["vidcorr", "protocols"])
    try:
        main()
        assert told == [True, False]
        gc.disable()
        start_collector()
        assert gc.isenabled()
        assert at_exit == [gc.unfreeze]
    finally:
        gc.enable()
        gc.unfreeze()
