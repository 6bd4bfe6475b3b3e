"""The wheel is enough: from a user's folder, the first commands of a new user run and say nothing like a fault."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from ctypes import CDLL
from pathlib import Path
from zipfile import ZipFile

import pytest

from vidcorr.datasets.generated import write_davis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
FOLDERS = (*ROOMS, "src", "configs")
FILES = ("cli.py", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md")
OWN = ("callbacks", "datamodules", "lightning_modules")
"""Folders that a user's project may have too."""
SCRIPT = """
import json, logging, sys

def record(name, level, *args, **options):
    if level >= logging.WARNING:
        print("Warning of the logger", name, file=sys.stderr)
    return plain(name, level, *args, **options)

plain = logging.getLogRecordFactory()
logging.setLogRecordFactory(record)
sys.path += sys.argv[1:3]
from vidcorr.commands import main
for words in json.loads(sys.argv[3]):
    main(words)
"""
WARNED = re.compile(r"warn|deprecat|\.py:\d+: ", re.IGNORECASE)
"""A warning of Python, of a logger, or of Lightning, which prints its own with file and line alone."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of packages that holds a new wheel alone, built from files as pip unpacks a zip: links are texts."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here, which builds the wheel")
    base = tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, base / "source" / name, symlinks=True, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, base / "source")
    links = [path for path in (base / "source").rglob("*") if path.is_symlink()]
    assert len(links) == 5
    for link in links:
        target = os.readlink(link)
        link.unlink()
        link.write_text(target)
    build = [uv, "build", "--offline", "--wheel", "--out-dir", str(base), str(base / "source")]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheel can be built offline here: {done.stderr[-300:]}")
    (wheel,) = base.glob("*.whl")
    ZipFile(wheel).extractall(base / "installed")
    return base / "installed"


def test_the_files_are_complete(installed):
    assert {path.name for path in installed.iterdir()} == {"vidcorr", "vidcorr-0.1.0.dist-info"}
    package = installed / "vidcorr"
    sources = {
        path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.[cp][py]*") if path.is_file()
    }
    wanted = {Path(*path.parts[1:]) if path.parts[0] == "vidcorr" else path for path in sources}
    files = {path for path in wanted if path.suffix in (".py", ".pyi", ".cpp")} | {Path("cli.py")}
    assert {path for path in files if not (package / path).is_file()} == set()
    assert "vidcorr = vidcorr.commands:main" in (installed / "vidcorr-0.1.0.dist-info/entry_points.txt").read_text()


def test_one_wheel_serves_every_python(installed):
    """Its tag names the platform alone, and nothing in it is compiled for a version of Python."""
    tags = re.findall("^Tag: (.+)$", (installed / "vidcorr-0.1.0.dist-info/WHEEL").read_text(), re.MULTILINE)
    assert len(tags) == 1
    assert tags[0].startswith("py3-none-")
    compiled = list(installed.rglob("*.so"))
    assert bool(compiled) == (shutil.which("cc") is not None)
    native = installed / "vidcorr/functional/native"
    digest = hashlib.blake2b(digest_size=4)
    for source in sorted([*native.glob("*.cpp"), *native.glob("*.h")]):
        digest.update(source.read_bytes())  # as the loader does
    for library in compiled:
        assert library.relative_to(native).match(f"kernels.*.{digest.hexdigest()}.so")
        functions = CDLL(str(library))
        assert functions.vidcorr_screened_search


USERS = """
import vidcorr
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU())

class Method(vidcorr.VFSSimSiam):
    pass
"""


def test_the_first_commands_say_nothing_that_looks_like_a_fault(installed, video_folder, tmp_path):
    """One process, so that all is imported once; a method and a network are of the user's folder."""
    for name in (*OWN, "cli"):  # all of a user's own, which nothing of ours imports
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the user\\'s own {name} was imported')\n")
    (tmp_path / "mynet.py").write_text(USERS)
    davis = write_davis(tmp_path / "davis", 1, frames=3, size=(64, 64))
    video = davis / "JPEGImages/480p/synthetic-000"
    mask = davis / "Annotations/480p/synthetic-000/00000.png"
    on = f"--on=davis={davis}"
    small = ["--data.size=32", "--data.batch_size=2", "--data.validation_fraction=0.2", "--trainer.max_steps=2"]
    shipped = ["--config=vfs_simsiam_r18.yaml", "--config=data/clips.yaml", "--data.num_workers=1"]
    own = ["--model=mynet.Method", "--model.backbone=mynet:net", "--data.num_workers=0"]
    commands = [
        ["predict", str(video), f"--mask={mask}"],
        ["evaluate", "vidcorr-r18", "mynet:net", on],
        ["fit", *shipped, f"--data.source={video_folder}", *small, on],
        ["fit", *own, f"--data.source={video_folder}", *small],
        ["validate", "--ckpt_path=runs/version_1", on],
    ]
    # without the .pth of `pip install -e`, the folder of a script, and PYTHONPATH
    packages = sysconfig.get_path("purelib")
    python = [sys.executable, "-I", "-S", "-c", SCRIPT, str(installed), packages, json.dumps(commands)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prediction/prediction.json").is_file()
    assert len(list(tmp_path.rglob("results.json"))) == 4
    assert [line for line in (done.stdout + done.stderr).splitlines() if WARNED.search(line)] == []
