"""A clone stands alone: its files name nothing outside it, the proof is in it, and skipped tests are counted."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.references import GOLDEN, real_videos

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(rb"\.\./" + rb"shared")
COMMAND = re.compile(r"`(tests/[^`]+)`")


def shipped():
    """Return the files that git tracks, or all that are not hidden where this is no clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name] or [
        path for path in ROOT.rglob("[!.]*") if ".venv" not in path.parts
    ]
    return [path for path in found if path.is_file()]


def test_no_shipped_file_names_a_folder_beside_the_clone():
    files = shipped()
    assert len(files) > 300
    named = [str(path.relative_to(ROOT)) for path in files if OUTSIDE.search(path.read_bytes())]
    assert [name for name in named if name != ".ci/run"] == []


def test_the_reference_numbers_are_small_and_hold_no_pickle():
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 35e6
    assert {path.suffix for path in files} == {".npz", ".json", ".safetensors", ".md", ".csv", ".jpg", ".txt"}


def test_every_row_of_the_agreement_ends_with_a_command_that_finds_its_tests():
    tables = [part for part in (ROOT / "docs/parity.md").read_text().split("\n\n") if part.startswith("| ")]
    rows = [row for table in tables for row in table.strip().splitlines()[2:] if "| check |" in table.splitlines()[0]]
    assert len(rows) > 40
    for row in rows:
        if row.endswith("| nothing to run |"):
            continue
        command = COMMAND.search(row.rsplit(" | ", 1)[1])
        assert command, row
        for name in command[1].split():
            file, _, test = name.partition("::")
            module = ast.parse((ROOT / file).read_text())
            functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
            assert not test or test in functions, name


@pytest.mark.slow
def test_the_closing_line_says_what_was_skipped_for_want_of_real_videos(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "VIDCORR_DATA"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/vidcorr/datasets/test_otb.py"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (
        "skipped: 1 for want of real videos (docs/same-data.md, VIDCORR_DATA), 0 for want of a GPU, 0 for"
        in done.stdout
    )


def test_a_folder_of_real_videos_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDCORR_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError, match=r"VIDCORR_DATA=.*nowhere: there is no such folder"):
        real_videos()
    monkeypatch.delenv("VIDCORR_DATA")
    assert real_videos() is None
