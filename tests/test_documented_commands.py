"""Every command of the documents and of the configs' headers is parsed; what it names exists and what it sets fits."""

import re
import shlex
from argparse import ArgumentParser
from itertools import takewhile
from pathlib import Path

import pytest

import cli
from tests.helpers.parsed import Parsed
from vidcorr.commands import run_command, tools
from vidcorr.experiments.study import read_study
from vidcorr.results.published import published_rows

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "configs/README.md", *(ROOT / "docs").glob("*.md")])
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
STARTERS = r"(?:srun|torchrun)\b.*?(?:cli\.py|vidcorr)|python (?:\S*/)?cli\.py|vidcorr"
COMMAND = re.compile(rf"^(?:{STARTERS}) ((?:fit|validate)\b.*)$")
PLACEHOLDERS = {"SEED": "0", "X": "last.ckpt", "…": "", "...": ""}


@pytest.fixture(autouse=True)
def _any_checkpoint(monkeypatch):
    """A checkpoint named in a document holds a VFSSimSiam; files of the documents' own are not looked for."""
    monkeypatch.setattr(
        cli, "saved_model", lambda path: {"class_path": "lightning_modules.VFSSimSiam", "init_args": {}}
    )
    monkeypatch.chdir(ROOT)


def shell_lines(document):
    """Return the lines of a document's blocks of shell code."""
    blocks = re.findall(r"^```(?:bash|sh)[^\n]*\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]


def commands_of(path):
    """Yield the commands of a file: its blocks of code, its inline code, and in a config its comments."""
    text = path.read_text()
    if path.suffix == ".yaml":
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        starts = [(line, re.search(r"vidcorr (fit|validate)\b", line)) for line in lines]
        found = [line[start.start() :].partition(";")[0].replace("$seed", "0") for line, start in starts if start]
    else:
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        found = [*shell_lines(path), *(re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose))]
    for line in found:
        line = line.strip().replace("--ckpt_path …", "--ckpt_path last.ckpt")
        if (match := COMMAND.match(line)) and "--" in match[1]:
            yield [PLACEHOLDERS.get(word, word) for word in shlex.split(match[1], comments=True)]


COMMANDS = [(path, words) for path in (*DOCUMENTS, *CONFIGS) for words in commands_of(path)]


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
    assert len(COMMANDS) > 25
    faults = []
    parsed = set()
    for path, words in COMMANDS:
        words = [word for word in words if word]
        if tuple(words) in parsed:
            continue
        parsed.add(tuple(words))
        if any(word.startswith("my_") or "=my_" in word for word in words):
            continue  # the user's own modules are written and run by test_docs.py
        if words == ["fit", "--ckpt_path", "last"]:
            continue  # all else comes from the config.yaml of the run to resume, and there is none here
        try:
            Parsed(with_data_here(words))
        except (Exception, SystemExit) as error:
            faults.append(f"{path.relative_to(ROOT)}: {' '.join(words)}: {error}")
    assert not faults


class Understood(Exception):
    """Raised where a tool has understood its arguments and would begin."""


def tool_commands(document):
    """Yield the words of each command of a tool in a document's blocks of shell code."""
    for line in shell_lines(document):
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            if Path(word).name in ("vidcorr", "cli.py") and words[place + 1] in tools():
                yield list(takewhile(lambda word: word not in ("&&", "||", ";", "|", "&", ">"), words[place + 1 :]))


def test_the_tools_of_the_documents_take_their_arguments(monkeypatch):
    """Fits are parsed by the test above."""
    commands = [words for document in DOCUMENTS for words in tool_commands(document)]
    assert {words[0] for words in commands} >= {"evaluate", "predict", "study", "score", "table"}
    for words in commands:
        understand(words, monkeypatch)


def understand(words, monkeypatch):
    """Let a tool parse its arguments, and stop where it would begin."""
    parse = ArgumentParser.parse_args

    def stop(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Understood

    with monkeypatch.context() as patch:
        patch.setattr(ArgumentParser, "parse_args", stop)
        with pytest.raises(Understood):
            run_command(words)


def commands_of_paper(name):
    """Return the words of each command of vidcorr in a paper's table in docs/parity.md."""
    text = (ROOT / "docs/parity.md").read_text()
    table = re.search(rf"^\| {name} \| command.*\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
    return [shlex.split(command)[1:] for command in re.findall(r"`(vidcorr [^`]+)`", table)]


@pytest.mark.parametrize("name", ["VFS", "Liir"])
def test_the_tools_of_the_papers_items_take_their_arguments(name, monkeypatch):
    """A study is read and its lines are made; the rows of `reproduce` are published rows; other tools are parsed."""
    commands = commands_of_paper(name)
    assert len(commands) > 5
    for command, *arguments in commands:
        if command == "fit":
            continue  # parsed by test_each_is_parsed
        understand([command, *arguments], monkeypatch)
        if command == "study":
            source = read_study(arguments[0])
            assert source.source.startswith(name)
            assert source.lines(Path("studies"))
        if command == "reproduce":
            rows = arguments[: arguments.index("--on")]
            assert set(rows) <= {row.row for row in published_rows()}
