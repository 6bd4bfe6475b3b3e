"""Every command of the documents and of the configs' headers is parsed; what it names exists and what it sets fits."""

import re
import shlex
from pathlib import Path

import pytest

from callbacks.command_line import runs
from lightning_modules.checkpoints.trust import pass_gate
from tests.helpers.parsed import Parsed

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "configs/README.md", *(ROOT / "docs").glob("*.md")])
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
COMMAND = re.compile(r"^(?:python (?:\S*/)?cli\.py|vidcorr) ((?:fit|validate|predict)\b.*)$")
PLACEHOLDERS = {"SEED": "0", "X": "last.ckpt", "…": "", "...": ""}


@pytest.fixture(autouse=True)
def _any_checkpoint(monkeypatch):
    """A checkpoint named in a document holds a VFSSimSiam; files of the documents' own are not looked for."""
    monkeypatch.setattr(runs, "saved_model", lambda path: pass_gate("lightning_modules.VFSSimSiam", {}, path))
    monkeypatch.chdir(ROOT)


def commands_of(path):
    """Yield the commands of a file: its blocks of code, its inline code, and in a config its comments."""
    text = path.read_text()
    if path.suffix == ".yaml":
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        found = [line[re.search(r"python cli\.py|vidcorr ", line).start() :] for line in lines if "cli.py" in line]
    else:
        blocks = re.findall(r"^```(?:bash|sh)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        found = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        found += [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose)]
    for line in found:
        line = line.strip().replace("--ckpt_path …", "--ckpt_path last.ckpt")
        if (match := COMMAND.match(line)) and "--" in match[1]:
            yield [PLACEHOLDERS.get(word, word) for word in shlex.split(match[1], comments=True)]


COMMANDS = [(path, words) for path in (*DOCUMENTS, *CONFIGS) for words in commands_of(path)]


@pytest.mark.slow
def test_each_is_parsed():
    assert len(COMMANDS) > 25
    faults = []
    for path, words in COMMANDS:
        words = [word for word in words if word]
        if any(word.startswith("my_") or "=my_" in word for word in words):
            continue  # the user's own modules are written and run by test_docs.py
        if words == ["fit", "--ckpt_path", "last"]:
            continue  # all else comes from the config.yaml of the run to resume, and there is none here
        try:
            Parsed(words)
        except (Exception, SystemExit) as error:
            faults.append(f"{path.relative_to(ROOT)}: {' '.join(words)}: {error}")
    assert not faults
