"""SIGTERM in the midst of each tool: status 143, and a second call that completes the work."""

import os
import shlex
import signal

import pytest
from tqdm import tqdm

from tests.helpers.refusal import refused
from vidcorr import cli

CHECK = "check-data {videos} --output {out} --workers 1"
GRID = "evaluate raw_colour --on davis={davis} --change input_size=48,64 --limit 2 --output {out}"


TOOLS = [
    (CHECK, 2, 6, ["clean.txt"]),
    (GRID, 3, 2, ["*48*/results.json", "*64*/results.json"]),  # the second of two passes begins anew
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "done", "left", "results"), TOOLS)
def test_a_stopped_tool_is_completed_later(words, done, left, results, video_folder, davis_root, tmp_path, monkeypatch):
    """The signal comes once some items are done."""
    items, advance, handler = [], tqdm.update, signal.getsignal(signal.SIGTERM)

    def count(self, *args, **options):
        advance(self, *args, **options)
        items.append(self.n)
        if len(items) == done:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(tqdm, "update", count)
    out = tmp_path / "out"
    words = shlex.split(words.format(videos=video_folder, davis=davis_root, out=out))
    refused(SystemExit, "^143$", cli.main, words)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert not all(list(out.glob(result)) for result in results)
    cli.main(words)
    assert len(items) == done + left
    assert all(list(out.glob(result)) for result in results)
