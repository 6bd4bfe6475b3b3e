"""`vidcorr` is the only name that an installation adds; what is imported is declared; a command imports no more."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest
import torch

import vidcorr
from vidcorr.backbones import build_feature_extractor
from vidcorr.commands import COMMANDS, RUNS

ROOT = Path(__file__).resolve().parents[1]


def test_the_command_is_our_door():
    (command,) = entry_points(group="console_scripts", name="vidcorr")
    assert command.load() is importlib.import_module("vidcorr.cli").main
    words = [sys.executable, "-m", "vidcorr", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "vidcorr 0.1.0\n"


def test_torch_hub_serves_the_network_of_the_package():
    network = torch.hub.load(str(ROOT), "vidcorr_r18", source="local", trust_repo=True, stride=4)
    images = torch.rand(1, 3, 64, 48)
    assert torch.equal(network(images), build_feature_extractor("vidcorr-r18", stage="res4", stride=4)(images))


def test_every_imported_package_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    declared = {re.match(r"[\w-]+", line)[0] for line in lines}
    sources = [ROOT / "cli.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    imported = {name for path in sources for name in re.findall(r"^ *(?:from|import) (\w+)", path.read_text(), re.M)}
    distributions = packages_distributions()
    for name in imported & distributions.keys() - {*ROOMS, "cli"}:
        assert declared & {each.lower().replace("_", "-") for each in distributions[name]}, name


ROOMS = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
OF_A_CLONE = ROOMS[:3]
PACKAGES = (*OF_A_CLONE, "backbones", "datasets", "functional", "metrics", "results.pictures")
PACKAGES = ("vidcorr", *OF_A_CLONE, *(f"vidcorr.{room}" for room in PACKAGES))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented_and_others_are_not(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{package}.{name}"
        assert name in dir(module)
        if package in OF_A_CLONE:
            assert getattr(module, name) is getattr(vidcorr, name)
    assert not hasattr(module, "Nothing")
    if package in OF_A_CLONE:  # one class a name
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package}.base")


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
    lines += [f"{name} --help" for name, *_ in COMMANDS if name not in RUNS]
    lines += [
        f"check-data {video_folder} --workers=1 --output={tmp_path / 'out'}",
        f"score {davis_root}/Annotations/480p {davis_root}/Annotations/480p",
        f"evaluate raw_colour --on davis={tmp_path / 'missing'}",
        f"evaluate raw_colour --on davis={davis_root} --output={tmp_path / 'evaluated'}",
    ]
    run = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(run, cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=True)
    imported = [line for line in done.stdout.splitlines() if line.startswith("imported: ")]
    assert imported[:-1] == [f"imported: by {line}" for line in lines[:-1]]
    assert imported[-1].startswith("imported: torch ")
    assert list((tmp_path / "out").iterdir())


COMPANIONS = {
    "transformers<5": "3.11",
    "gradio": "3.11",
    "fiftyone": "3.11",
    "moviepy": "3.11",
    "anomalib": "3.11",
    "lerobot": "3.12",
}
"""What people install beside this project → the Python of its newest such release."""


def resolved(wanted, python, folder, *more):
    """Return the release of a package that uv picks, alone or beside what `more` names; None without a registry."""
    (folder / "wanted.in").write_text(wanted)
    uv = Path(sys.executable).parent / "uv"
    words = [uv, "pip", "compile", "--no-header", "--no-annotate", "--python-version", python, "wanted.in", *more]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    found = re.search(rf"^{wanted.partition('<')[0]}==(.*)$", done.stdout, re.M)
    return found and found[1]


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "python"), COMPANIONS.items())
def test_a_companion_is_installed_beside_us_in_its_newest_release(wanted, python, tmp_path):
    alone = resolved(wanted, python, tmp_path)
    if alone is None:
        pytest.skip("no registry")
    assert resolved(wanted, python, tmp_path, ROOT / "pyproject.toml") == alone
