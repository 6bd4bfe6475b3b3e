"""The repository: its guide draws what there is, a clone stands alone, workflows run."""

import csv
import re
import subprocess
from pathlib import Path

import yaml

from tests.helpers.parity import missing_tests

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
GUIDE = (ROOT / "docs/how-it-works.md").read_text()
OUTSIDE = b"../" + b"shared"


def test_the_guide_draws_the_rooms_that_there_are():
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    drawn = set(re.findall(r"(\w+)/", GUIDE.partition("## The packages")[2].split("```")[1]))
    assert {room.name for room in rooms if len(room.parts) <= 2} <= drawn <= {room.name for room in rooms}


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
