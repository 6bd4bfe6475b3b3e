"""`make speed` measures what docs/speed.md shows."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def measured(text):
    """Return the first cell of each row of a table."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_each_part_fills_its_rows_of_the_page(real_data):
    """The page holds rows of parts that are measured by name alone, too."""
    from tests.speed.__main__ import IN_TABLE

    real_data("clips")
    run = [sys.executable, "-m", "tests.speed", *(part.__name__ for part in IN_TABLE), "--rounds", "1"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    page = (ROOT / "docs/speed.md").read_text()
    assert set(measured(page.split("make speed -->")[1])) <= set(measured(done.stdout))
