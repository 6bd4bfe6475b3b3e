"""A long run under watch: memory, descriptors and threads of a command and all of its children, and how fast it gets on.

    python tests/speed/soak.py --output soak.csv -- python cli.py fit --config … --trainer.max_steps 1500

Samples /proc every few seconds until the command ends, writes the samples as CSV, and prints their medians over each tenth
of the run. Progress is the command's own count of optimiser steps (TensorBoard's event file grows with it), so processor
seconds per sample are printed instead: a leak shows as a rising column, a slow-down as fewer steps per processor second.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

FIELDS = ("seconds", "processes", "threads", "descriptors", "resident_mb", "cpu_seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--output", type=Path, default=Path("soak.csv"))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    arguments = parser.parse_args()
    command = [word for word in arguments.command if word != "--"]
    if not command:
        parser.error("give the command to watch after --")

    start = time.monotonic()
    process = subprocess.Popen(command)
    rows: list[dict[str, float]] = []
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        while process.poll() is None:
            row = sample(process.pid, time.monotonic() - start)
            writer.writerow(row)
            file.flush()
            rows.append(row)
            time.sleep(arguments.every)
    report(rows)
    return process.returncode


def sample(root: int, seconds: float) -> dict[str, float]:
    """Sums over ``root`` and all its living descendants; processes that end meanwhile are left out.

    Resident memory is the proportional set size: pages shared by several processes count once.
    """
    totals = dict.fromkeys(FIELDS, 0.0) | {"seconds": round(seconds, 1)}
    tick = os.sysconf("SC_CLK_TCK")
    for pid in descendants(root):
        folder = Path(f"/proc/{pid}")
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            memory = (folder / "smaps_rollup").read_text()
            descriptors = len(os.listdir(folder / "fd"))
        except OSError:
            continue
        totals["processes"] += 1
        totals["descriptors"] += descriptors
        totals["threads"] += int(stat[17])
        totals["cpu_seconds"] += (int(stat[11]) + int(stat[12])) / tick
        totals["resident_mb"] += next(int(line.split()[1]) for line in memory.splitlines() if line[:4] == "Pss:") / 1024
    return totals


def descendants(root: int) -> list[int]:
    """``root`` and the processes under it, from the kernel's lists of children."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def report(rows: list[dict[str, float]]) -> None:
    print(f"{'minutes':>8} {'processes':>10} {'threads':>8} {'descriptors':>12} {'memory MB':>10}")
    part = max(1, len(rows) // 10)
    for first in range(0, len(rows), part):
        chunk = rows[first : first + part]
        median = {field: statistics.median(row[field] for row in chunk) for field in FIELDS}
        print(
            f"{chunk[0]['seconds'] / 60:8.1f} {median['processes']:10.0f} {median['threads']:8.0f} "
            f"{median['descriptors']:12.0f} {median['resident_mb']:10.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
