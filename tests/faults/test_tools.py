"""SIGTERM in the midst of each tool: status 143, nothing half written, and a second call that completes the work."""

import json
import os
import shlex
import signal

import pytest
from PIL import Image
from tqdm import tqdm

import cli
from tests.helpers.refusal import refused
from vidcorr.results.folder_lock import LOCK

GRID = "evaluate raw_colour --on davis={davis} --change input_size=48,64 --limit 2 --output {out}"
# words of the command line; items done when the signal comes, and left for the second call; files of a finished run
CASES = {
    "check-data": ("check-data {videos} --output {out} --workers 1", 2, 6, ["clean.txt"]),
    "grid": (GRID, 3, 2, ["*48*/results.json", "*64*/results.json"]),  # the second of two passes begins anew
}


@pytest.fixture
def struck(monkeypatch):
    """A function that has SIGTERM sent after N items, and returns the count since."""

    def strike(after):
        counted = []
        advance = tqdm.update

        def counting(self, *args, **options):
            advance(self, *args, **options)
            counted.append(self.n)
            if len(counted) == after:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.undo()
        monkeypatch.setattr(tqdm, "update", counting)
        return counted

    return strike


def stopped(words):
    """Run a command that a signal ends."""
    handler = signal.getsignal(signal.SIGTERM)
    refused(SystemExit, "^143$", cli.main, shlex.split(words))
    assert signal.getsignal(signal.SIGTERM) == handler


def expect_nothing_half_written(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    assert not [path for path in files if path.name.startswith(".") or path.suffix == ".partial"]
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".png":
            Image.open(path).load()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_tool_ends_with_143_and_a_second_call_completes_it(name, video_folder, davis_root, tmp_path, struck):
    words, strikes, left, results = CASES[name]
    out = tmp_path / "out"
    words = words.format(videos=video_folder, davis=davis_root, out=out)
    struck(strikes)
    stopped(words)
    expect_nothing_half_written(out)
    assert not all(list(out.glob(result)) for result in results)
    counted = struck(None)
    cli.main(shlex.split(words))
    assert len(counted) == left
    assert all(list(out.glob(result)) for result in results)
    expect_nothing_half_written(out)
