"""The first character: a word imports what it needs and no more (timed by tests/speed/startup.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "pytorch_lightning", "torchvision", "torchmetrics", "timm", "matplotlib", "jsonargparse")
SCRIPT = """
import sys
from cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("imported:", *[name for name in {heavy!r} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["fti"], ["check-data", "--help"], ["transcode", "--help"], ["shard", "--help"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(words):
    assert imported_by(words) == "imported:"


@pytest.mark.parametrize("words", [["check-data", "VIDEOS", "--workers=1", "--output=OUT"], ["shard", "VIDEOS", "OUT"]])
def test_tools_for_videos_work_without_torch(words, video_folder, tmp_path):
    words = [word.replace("VIDEOS", str(video_folder)).replace("OUT", str(tmp_path / "out")) for word in words]
    assert imported_by(words) == "imported:"
    assert list((tmp_path / "out").iterdir())


def test_each_public_name_is_there_and_others_are_not():
    import callbacks
    import datamodules
    import lightning_modules

    for package in (callbacks, datamodules, lightning_modules):
        for name in package.__all__:
            assert getattr(package, name) is not None
            assert name in dir(package)
        with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
            _ = package.Nothing


def imported_by(words):
    run = [sys.executable, "-c", SCRIPT.format(heavy=HEAVY), *words]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
