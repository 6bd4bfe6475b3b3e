"""Commands where the operating system lacks what POSIX has: Windows' signals, start methods and modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from vidcorr.datasets.generated import write_davis

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_POSIX = """
import multiprocessing.context, os, shlex, signal, sys
for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "pthread_sigmask", "setitimer", "ITIMER_REAL"):
    delattr(signal, name)
for name in ("setpgrp", "sched_getaffinity"):
    delattr(os, name)
for name in ("fcntl", "resource"):
    sys.modules[name] = None
multiprocessing.reduction.HAVE_SEND_HANDLE = False  # there is no forkserver
del multiprocessing.context.ForkServerContext, multiprocessing.context.ForkServerProcess
from vidcorr.commands import main
for line in sys.stdin:
    main(shlex.split(line))
"""
LOADER = """
from vidcorr import SyntheticVideoDataModule
import vidcorr.cli
data = SyntheticVideoDataModule(root="made", videos=4, size=32, batch_size=2, num_workers=1)
data.prepare_data()
data.setup("fit")
for batch in data.train_dataloader():
    print("clips", *batch["clip"].shape)
    break
"""
"""A batch by a worker; the Trainer asks Linux for SIGUSR1 itself, and Windows not."""


def commands_without_posix(words, folder):
    lines = "\n".join(words)
    script = [sys.executable, "-c", WITHOUT_POSIX + LOADER]
    return subprocess.run(script, cwd=folder, input=lines, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_networks_and_predictions_are_scored_and_clips_loaded_without_posix(tmp_path):
    root = write_davis(tmp_path / "davis", 1, frames=8, size=(64, 64))
    masks = root / "Annotations/480p"
    words = [
        f"evaluate raw_colour vidcorr-r18 --on davis={root} --change radius=3 --output=run",
        f"score {masks} {masks} --output=scored",
        "table run",
        f"check-data {root}/JPEGImages --workers=1 --output=checked",
    ]
    done = commands_without_posix(words, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "raw_colour" in done.stdout
    assert "clips 2 " in done.stdout
    assert (tmp_path / "scored/results.json").is_file()
    assert (tmp_path / "checked/clean.txt").read_text().count("\n") == 1
