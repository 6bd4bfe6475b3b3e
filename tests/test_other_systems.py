"""Commands where the operating system lacks what POSIX has: Windows' signals, start methods and modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from vidcorr.datasets.generated import write_davis

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_POSIX = """
import multiprocessing.context, os, platform, shlex, signal, sys
for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "pthread_sigmask", "setitimer", "ITIMER_REAL"):
    delattr(signal, name)
for name in ("setpgrp", "sched_getaffinity"):
    delattr(os, name)
for name in ("fcntl", "resource"):
    sys.modules[name] = None
signal.valid_signals = lambda: {signal.SIGINT, signal.SIGTERM, signal.SIGABRT}
multiprocessing.reduction.HAVE_SEND_HANDLE = False  # there is no forkserver
del multiprocessing.context.ForkServerContext, multiprocessing.context.ForkServerProcess
import torchmetrics
real, platform.system = platform.system, lambda: "Windows"
import pytorch_lightning  # which asks for the name of the system as it is imported
platform.system = real
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
"""A batch by a worker."""


def commands_without_posix(words, folder):
    lines = "\n".join(words)
    script = [sys.executable, "-c", WITHOUT_POSIX + LOADER]
    return subprocess.run(script, cwd=folder, input=lines, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_networks_are_trained_and_scored_and_clips_loaded_without_posix(tmp_path):
    root = write_davis(tmp_path / "davis", 1, frames=8, size=(64, 64))
    masks = root / "Annotations/480p"
    words = [
        f"evaluate raw_colour vidcorr-r18 --on davis={root} --change radius=3 --output=run",
        f"score {masks} {masks} --output=scored",
        "table run",
        f"check-data {root}/JPEGImages --workers=1 --output=checked",
        "fit --model=VFSSimSiam --data=SyntheticVideoDataModule --data.root=made --data.videos=4 --data.size=32"
        " --data.batch_size=2 --data.num_workers=0 --trainer.accelerator=cpu --trainer.max_steps=1",
    ]
    done = commands_without_posix(words, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "raw_colour" in done.stdout
    assert "clips 2 " in done.stdout
    assert (tmp_path / "scored/results.json").is_file()
    assert (tmp_path / "runs/version_0/checkpoints/last.ckpt").is_file()
    assert (tmp_path / "checked/clean.txt").read_text().count("\n") == 1
