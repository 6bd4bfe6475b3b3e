"""A clone stands alone: its files name nothing outside it, and the proof is in it."""

import csv
import subprocess
from pathlib import Path

from tests.helpers.references import GOLDEN

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = b"../" + b"shared"


def test_no_shipped_file_names_a_folder_beside_the_clone():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = set(listed.stdout.decode().split("\0")) - {"", ".ci/run"}
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert [path for path in files if OUTSIDE in path.read_bytes()] == []


def test_the_reference_numbers_are_small_and_hold_no_pickle():
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 35e6
    kinds = {".npz", ".json", ".safetensors", ".md", ".csv", ".jpg", ".JPEG", ".png", ".txt"}
    assert {path.suffix for path in files} == kinds


def test_every_row_of_the_agreement_names_tests_that_there_are():
    with (ROOT / "docs/results/agreement.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 40
    for row in rows:
        assert row["check"], row
        for name in row["check"].split():
            file, _, test = name.partition("::")
            text = (ROOT / file).read_text()
            assert not test or f"def {test}(" in text, name
