"""The first commands of a new user, on data without a fault, say nothing that looks like a fault."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vidcorr.datasets.generated import write_davis

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, logging, sys

def record(name, level, *args, **options):
    if level >= logging.WARNING:
        print("Warning of the logger", name, file=sys.stderr)
    return plain(name, level, *args, **options)

plain = logging.getLogRecordFactory()
logging.setLogRecordFactory(record)
from cli import main
for words in json.loads(sys.argv[1]):
    main(words)
"""
WARNED = re.compile(r"warn|deprecat|\.py:\d+: ", re.IGNORECASE)
"""A warning of Python, of a logger, or of Lightning, which prints its own with file and line alone."""


@pytest.mark.slow
def test_they_say_nothing_that_looks_like_a_fault(video_folder, tmp_path):
    """One process, so that all is imported once; `fit`, which ignores some warnings for good, comes last but one."""
    davis = write_davis(tmp_path / "davis", 1, frames=3, size=(64, 64))
    video = davis / "JPEGImages/480p/synthetic-000"
    mask = davis / "Annotations/480p/synthetic-000/00000.png"
    on = f"--on=davis={davis}"
    configs = ["--config=vfs_simsiam_r18.yaml", "--config=data/clips.yaml"]
    small = ["--data.size=32", "--data.batch_size=2", "--data.validation_fraction=0.2", "--data.num_workers=1"]
    small += ["--trainer.max_steps=2"]
    commands = [
        ["predict", str(video), f"--mask={mask}"],
        ["evaluate", "vidcorr-r18", on],
        ["fit", *configs, f"--data.source={video_folder}", *small, on],
        ["validate", "--ckpt_path=runs/lightning_logs/version_0/checkpoints/last.ckpt", on],
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    done = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prediction/prediction.json").is_file()
    assert len(list(tmp_path.rglob("results.json"))) == 3
    assert [line for line in (done.stdout + done.stderr).splitlines() if WARNED.search(line)] == []
