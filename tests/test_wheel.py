"""The wheel is enough: built, installed into an empty environment elsewhere, and used from a folder of a user's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
FILES = ("cli.py", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "constraints.txt")


def run(*words, cwd):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def vidcorr(tmp_path_factory):
    """The console script of a wheel in an environment that holds nothing else."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here, which builds and installs the wheel")
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    for name in (*PACKAGES, "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    install = [uv, "pip", "install", "--offline", "--python", str(base / "venv"), "--find-links", str(base), "vidcorr"]
    steps = [
        [uv, "build", "--offline", "--wheel", "--out-dir", str(base), str(source)],
        [uv, "venv", "--offline", "--python", sys.executable, str(base / "venv")],
        [*install, "-c", str(ROOT / "constraints.txt")],
    ]
    for step in steps:
        done = subprocess.run(step, cwd=base, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no wheel can be built and installed offline here: {done.stderr[-300:]}")
    shutil.rmtree(source)
    return str(base / "venv/bin/vidcorr")


@pytest.fixture
def folder(tmp_path, davis_root):
    """A user's folder with data and a package of our name, which must not be taken for ours."""
    home = tmp_path / "home"
    (home / "callbacks").mkdir(parents=True)
    (home / "callbacks/__init__.py").write_text("raise SystemExit('the user\\'s own callbacks were imported')\n")
    (home / "davis").symlink_to(davis_root)
    return home


def test_follows_a_mask(vidcorr, folder):
    (sequence, *_) = sorted((folder / "davis/JPEGImages/480p").iterdir())
    mask = folder / "davis/Annotations/480p" / sequence.name / "00000.png"
    run(vidcorr, "predict", sequence, "--mask", mask, "--model=raw_colour", "--output=out", cwd=folder)
    assert (folder / "out/prediction.json").is_file()


def test_the_files_are_complete(vidcorr, folder):
    assert run(vidcorr, "--version", cwd=folder) == "vidcorr 0.1.0\n"
    script = (
        "from importlib.metadata import files; "
        "print(*(f for f in files('vidcorr') if f.suffix == '.cpp')); "
        "print(*sorted({str(f).split('/')[0] for f in files('vidcorr')}))"
    )
    said = run(str(Path(vidcorr).with_name("python")), "-c", script, cwd=folder)
    compiled = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.cpp")}
    *_, sources, tops = said.splitlines()
    assert set(sources.split()) == compiled
    ours = {name for name in tops.split() if not name.endswith(".dist-info")}
    assert ours <= {*PACKAGES, "cli.py", "__pycache__", ".."}
