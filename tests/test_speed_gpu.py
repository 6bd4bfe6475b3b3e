"""The command that measures a GPU runs on a CPU in its small form."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "tests.speed.gpu", "--device", "cpu", "--small", "--modes", "bf16"]


@pytest.mark.slow
@pytest.mark.exhaustive
def test_each_part_fills_rows_of_one_table():
    parts = ["training", "propagation", "benchmarks"]
    root = Path(__file__).parents[1]
    done = subprocess.run(COMMAND, cwd=root, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == len(done.stdout.strip().splitlines()) - 2  # the heading and an empty line come before
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert {len(row) for row in rows} == {len(table[0].strip("|").split("|"))}
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), key=parts.index)
    assert {row[1].split(",")[0] for row in rows if row[0] == "training"} >= {"VFSSimSiam", "VFSMoCo", "Liir", "SiamFC"}
    assert sum(row[0] == "benchmarks" for row in rows) >= 12
