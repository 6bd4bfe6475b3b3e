"""Every command of the documents and of the configs' headers is parsed; what it names exists and what it sets fits."""

import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest

import cli
from tests.helpers.parsed import Parsed
from vidcorr.commands import run_command
from vidcorr.experiments.study import read_study

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


NOT_RUN = ["cp", "ln", "mkdir", "export", "cd", "source", "for", "while", "done", "done;", "[", "exit", "find"]
NOT_RUN += ["bash", "grep", "parallel", "sed", "tee", "pip", "uv", "git", "ffmpeg", "sbatch", "scontrol"]
"""Programs in the documents that are neither run nor parsed here: the shell's, and those of a network or a cluster."""

ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
STARTED = re.compile(r"(^|/)(vidcorr|cli\.py|pytest)$")


class Understood(Exception):
    """Raised where a tool has understood its arguments and would begin."""


def fenced_commands(document):
    """Yield the words of each command in a document's blocks of shell code, without variables and redirections."""
    for line in shell_lines(document):
        for words in split(shlex.split(line, comments=True)):
            while words and (ASSIGNMENT.match(words[0]) or words[0] == "taskset"):
                words = [] if "$(" in words[0] else words[3 if words[0] == "taskset" else 1 :]
            if words and words[0] in ("srun", "torchrun"):
                words = words[next(i for i, word in enumerate(words) if STARTED.search(word)) :]
            if words:
                yield words


def split(words):
    """Split a line's words where the shell begins another command."""
    found = [[]]
    for word in words:
        if word in ("&&", "||", ";", "|", "&"):
            found.append([])
        else:
            found[-1].append(word)
    return found


FENCED = [(path, words) for path in DOCUMENTS for words in fenced_commands(path)]


def files_of_documents():
    """Return the names of the files that the documents tell the reader to save."""
    return {name for path in DOCUMENTS for name in re.findall(r"^```\w+ +file=(\S+)", path.read_text(), re.MULTILINE)}


@pytest.mark.parametrize(("path", "words"), FENCED, ids=lambda value: value.name if isinstance(value, Path) else None)
def test_each_fenced_command_is_one_that_is_there(path, words, monkeypatch):
    """Tools are parsed by their parsers, targets and files are looked up; fits are parsed by the test above."""
    program = Path(words[0]).name
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= {*targets, "-B"}
    elif program in ("python", "python3") and not words[1].endswith("cli.py"):
        if words[1] == "-m":
            assert words[2] in ("pytest", "venv") or (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file()
        else:
            assert words[1] in {*files_of_documents(), "setup.py", "-c"}
    elif program in ("vidcorr", "cli.py", "python", "python3"):
        command, *arguments = words[2:] if program.startswith("python") else words[1:]
        if command not in ("fit", "validate", "--version", "--help"):
            understand([command, *arguments], monkeypatch)
    else:
        assert program in NOT_RUN, " ".join(words)


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


ITEMS = {
    "VFS": [f"Table {number}" for number in (*range(1, 9), "A.1")],
    "Liir": [f"Table {number}" for number in (*range(1, 6), "A.1", "C.1")],
}
"""Tables and figures of the papers, arXiv 2103.17263 and 2203.14333; appendix B's table is lost in the public text."""
ITEMS["VFS"] += [f"Figure {number}" for number in (*range(1, 6), "B.1", "B.2", "B.3", "B.4", "B.5")]
ITEMS["Liir"] += [f"Figure {number}" for number in (*range(1, 8), "D.1", "D.2", "D.3", "D.4", "D.5")]
ITEMS["Liir"].append("Appendix B")
SYSTEMS = {
    "VFS": [f"{network} {kind} negatives" for network in ("ResNet-18", "ResNet-50") for kind in ("with", "without")],
    "Liir": ["Liir", "MAST's objective"],
}
SYSTEMS["VFS"] += ["SimSiam on images", "MoCo on images", "contrastive random walk"]


def rows_of_paper(name):
    """Return the rows of a paper's table in docs/parity.md: the items of each, and its commands or reason."""
    text = (ROOT / "docs/parity.md").read_text()
    table = re.search(rf"^\| {name} \| command.*\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
    rows = []
    for line in table.splitlines():
        items, _, entry = line.strip("| ").partition(" | ")
        rows.append((items.split(", "), entry))
    return rows


def commands_of_entry(entry):
    """Return the words of each command of vidcorr in a cell."""
    found = re.findall(r"`(vidcorr [^`]+)`", entry)
    return [shlex.split(command)[1:] for command in found]


PAPERS = [(name, items, entry) for name in ITEMS for items, entry in rows_of_paper(name)]


@pytest.mark.parametrize("name", ITEMS)
def test_each_system_table_and_figure_of_the_papers_has_one_row(name):
    rows = rows_of_paper(name)
    assert sorted(item for items, _ in rows for item in items) == sorted(ITEMS[name] + SYSTEMS[name])
    for items, entry in rows:
        reason = "none: " in entry or "`heat_map_sheet`" in entry
        assert commands_of_entry(entry) or reason, items


@pytest.mark.parametrize(("name", "items", "entry"), PAPERS, ids=[items[0] for _, items, _ in PAPERS])
def test_the_tools_of_the_papers_items_take_their_arguments(name, items, entry, monkeypatch):
    """A study is read and its lines are made; the rows of `reproduce` are in its study; other tools are parsed."""
    for command, *arguments in commands_of_entry(entry):
        if command == "fit":
            continue  # parsed by test_each_is_parsed
        understand([command, *arguments], monkeypatch)
        if command == "study":
            source = read_study(arguments[0])
            assert source.source.startswith(name)
            assert source.lines(Path("studies"))
        if command == "reproduce":
            rows = arguments[: arguments.index("--on")]
            assert set(rows) <= {row.name for row in read_study("studies/published.yaml").rows}
