"""Every command of the documents and of the configs' headers is parsed; what it names exists and what it sets fits."""

import re
import shlex
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from tests.helpers.defaults import parsers
from tests.helpers.parsed import Parsed
from vidcorr.commands import COMMANDS, RUNS
from vidcorr.experiments.reports.study_report import read_study
from vidcorr.results.published import published_rows

ROOT = Path(__file__).resolve().parents[1]
NAMES = {command.name for command in COMMANDS}
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "configs/README.md", *(ROOT / "docs").glob("*.md")])
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
PLACEHOLDERS = {"SEED": "0", "X": "a.ckpt", "…": "", "$rate": "1", "FILE": "studies/vfs_table2.yaml", "NAME": "dino-s8"}


@pytest.fixture(autouse=True)
def _any_checkpoint(monkeypatch):
    """A checkpoint named in a document holds a VFSSimSiam; files of the documents' own are not looked for."""
    holds = {"class_path": "vidcorr.lightning_modules.VFSSimSiam", "init_args": {}}
    monkeypatch.setattr("vidcorr.experiments.runs.words.saved_model", lambda path: holds)
    monkeypatch.chdir(ROOT)


def lines_of(path):
    """Return the lines of a file that may hold commands: its blocks and pieces of code, and a config's comments."""
    text = re.sub(r"\\\n(# )?\s*", " ", path.read_text())
    if path.suffix == ".yaml":
        starts = [re.search(r"vidcorr (fit|validate)\b[^;]*", line) for line in text.splitlines()]
        return [start[0].replace("$seed", "0") for start in starts if start]
    blocks = re.findall(r"^```(?:bash|sh)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    pieces = [
        re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose) if " --" in code or "study " in code
    ]
    return [line for block in blocks for line in block.splitlines()] + pieces


def commands_of(path):
    """Yield the words after `vidcorr`, or after another starter, of each command of a file."""
    for line in lines_of(path):
        try:
            words = shlex.split(line.replace("--ckpt_path …", "--ckpt_path last.ckpt"), comments=True)
        except ValueError:
            continue  # prose with an apostrophe
        for place, word in enumerate(words[:-1]):
            if Path(word).name in ("vidcorr", "cli.py") and words[place + 1] in NAMES:
                found = takewhile(lambda word: word not in ("&&", "||", ";", "|", "&", ">"), words[place + 1 :])
                yield tuple(filter(None, (PLACEHOLDERS.get(word, word) for word in found)))


COMMANDS = {words: path for path in (*DOCUMENTS, *CONFIGS) for words in commands_of(path)}


def with_data_here(words):
    """Return the words with this folder in place of the data of `--on`, which the documents' reader has."""
    found, is_on = [], False
    for word in words:
        if word.startswith("--"):
            is_on = word == "--on"
        elif is_on:
            word = f"{word.partition('=')[0]}=."
        found.append(word)
    return found


@pytest.mark.slow
def test_each_is_parsed():
    runs = {words: path for words, path in COMMANDS.items() if words[0] in RUNS and len(words) > 1}
    assert len(runs) > 25
    faults = []
    parsed = set()
    for words, path in sorted(runs.items(), key=lambda run: -len(run[0])):
        if any(word.startswith("my_") or "=my_" in word for word in words):
            continue  # the user's own modules are written and run by test_docs.py
        if ("--ckpt_path", "last") in pairwise(words):
            continue  # the model comes from a run of the reader's, and there is none here
        if parsed.issuperset(words):
            continue  # each of its words stands in another command
        parsed.update(words)
        try:
            Parsed(with_data_here(words))
        except (Exception, SystemExit) as error:
            faults.append(f"{path.relative_to(ROOT)}: {' '.join(words)}: {error}")
    assert not faults


def test_the_tools_take_their_arguments():
    """A study is read and its lines are made; the rows of `reproduce` are published rows."""
    commands = [words for words in COMMANDS if words[0] in NAMES.difference(RUNS) and len(words) > 1]
    assert {words[0] for words in commands} >= {"evaluate", "predict", "study", "score", "table", "reproduce"}
    published = {row.short_name for row in published_rows()}
    for command, *words in commands:
        given, more = parsers()[command].parse_known_args(words)
        assert not more or command == "resume", (command, more)
        if command == "study" and not given.study.startswith("my_"):
            assert read_study(given.study).lines(Path("studies"))
        if command == "reproduce":
            assert set(given.rows) <= published
