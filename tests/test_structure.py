"""The repository: its guide draws what there is, each source has its test, a clone stands alone, workflows run."""

import csv
import re
import subprocess
from pathlib import Path

import yaml

from tests.helpers.parity import missing_tests

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
GUIDE = (ROOT / "docs/code.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
OUTSIDE = b"../" + b"shared"


def test_the_guide_to_the_code_draws_the_tree_as_it_is():
    """Two blanks more are a level more."""
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    drawn = re.findall(r"^ *[\w.]+", GUIDE.split("```")[1].partition("\n")[2], re.MULTILINE)
    assert {*drawn} == {"  " * (len(room.parts) - 1) + room.name for room in rooms} | {"cli.py", "configs", "tests"}


def test_files_that_the_guide_to_the_code_names_exist():
    for line in GUIDE.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/]+\.py)`", line):
            if "NAME" in name:
                continue  # it stands for any
            file = ROOT / name if "/" in name else folder / name  # a name alone lies beside the file before it
            folder = file.parent
            assert file.is_file(), name


def test_every_source_has_a_test_of_its_name_or_is_named_by_the_test_that_holds_it():
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    named = "".join(path.read_text().split('"""', 2)[1] for path in tests)
    missing = []
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            mirrored = ROOT / "tests" / source.relative_to(ROOT).with_name(f"test_{source.name}")
            if source.name != "__init__.py" and not source.is_symlink() and not mirrored.exists():
                missing.append(f"{source.parent.name}/{source.name}")
    assert not [name for name in missing if f"`{name}`" not in named]
    assert set(re.findall(r"`(\w+/\w+\.py)`", named)) <= set(missing)


def test_no_shipped_file_names_a_folder_beside_the_clone():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = set(listed.stdout.decode().split("\0")) - {"", ".ci/run"}
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert [path for path in files if OUTSIDE in path.read_bytes()] == []


def test_every_row_of_the_agreement_names_tests_that_there_are():
    with (ROOT / "docs/results/agreement.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 40
    for row in rows:
        assert row["check"], row
        assert missing_tests(row["check"]) == [], row


def test_the_fast_tests_run_on_every_python_that_the_package_names():
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["fast"]["strategy"]["matrix"]
    assert matrix["python"] == named
