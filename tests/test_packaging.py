"""The root is flat, so its names must be ours alone; a command imports what it needs and no more."""

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

from vidcorr.commands import tools

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["callbacks", "datamodules", "lightning_modules", "vidcorr", "cli"])
def test_the_name_is_ours(name):
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(ROOT)
    assert set(packages_distributions().get(name, ["vidcorr"])) == {"vidcorr"}


def test_the_command_is_our_door():
    (command,) = entry_points(group="console_scripts", name="vidcorr")
    assert command.load() is importlib.import_module("cli").main


PACKAGES = ("lightning_modules", "datamodules", "callbacks", "vidcorr", "vidcorr.backbones", "vidcorr.datasets")
PACKAGES += ("vidcorr.functional", "vidcorr.metrics", "vidcorr.results.pictures")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented_and_others_are_not(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{package}.{name}"
        assert name in dir(module)
    assert not hasattr(module, "Nothing")


HEAVY = ("torch", "pytorch_lightning", "torchvision", "torchmetrics", "timm", "matplotlib")
SCRIPT = f"""
import shlex, sys
from vidcorr.commands import main
for line in sys.stdin:
    try:
        main(shlex.split(line))
    except SystemExit:
        pass
    print("imported:", *[name for name in {HEAVY} if name in sys.modules], "by", line.strip())
"""


@pytest.mark.slow
def test_nothing_heavy_is_imported(video_folder, davis_root, tmp_path):
    lines = ["--help", "fit --help", "validate -h", "--version", "fti"]
    lines += ["study studies/vfs_small.yaml", "protocols", "protocols vfs"]
    lines += [f"{tool} --help" for tool in tools()]
    lines += [
        f"check-data {video_folder} --workers=1 --output={tmp_path / 'out'}",
        f"score {davis_root}/Annotations/480p {davis_root}/Annotations/480p --output={tmp_path / 'scored'}",
    ]
    run = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(run, cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=True)
    imported = [line for line in done.stdout.splitlines() if line.startswith("imported: ")]
    assert imported == [f"imported: by {line}" for line in lines]
    assert list((tmp_path / "out").iterdir())
    results = json.loads((tmp_path / "scored/results.json").read_text())
    assert results["scores"]["J&F-Mean"] == 1
