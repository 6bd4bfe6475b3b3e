"""A long run under watch: memory, descriptors, threads and speed of a command and all of its children.

    python tests/speed/soak.py --runs runs/soak -- python cli.py fit --config … --trainer.default_root_dir runs/soak

Samples /proc every few seconds until the command ends, writes the samples as CSV, and prints their medians over each
tenth of the run. With --runs, the steps in TensorBoard's file give steps a second and processor seconds a step;
the latter tells a run that slows down from a machine that others use.
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
    parser.add_argument("--runs", type=Path, help="trainer.default_root_dir of the command")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    arguments = parser.parse_args()
    command = [word for word in arguments.command if word != "--"]
    if not command:
        parser.error("give the command to watch after --")

    began, start = time.time(), time.monotonic()
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
    report(rows, steps(arguments.runs, began) if arguments.runs else [])
    return process.returncode


def sample(root: int, seconds: float) -> dict[str, float]:
    """Sums over `root` and all its living descendants; processes that end meanwhile are left out.

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
    """`root` and the processes under it, from the kernel's lists of children."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def steps(runs: Path, began: float) -> list[tuple[float, int]]:
    """Seconds since the command began and optimiser step, of each entry of `train/loss` in the newest run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(runs.rglob("events.out.tfevents.*"), key=os.path.getmtime)
    if not files:
        raise SystemExit(f"{runs}: holds no events of TensorBoard")
    events = EventAccumulator(str(files[-1]), size_guidance={"scalars": 0})
    events.Reload()
    return [(entry.wall_time - began, entry.step) for entry in events.Scalars("train/loss")]


def report(rows: list[dict[str, float]], done: list[tuple[float, int]]) -> None:
    widths = (8, 10, 8, 12, 10, 8, 11)
    names = ("minutes", "processes", "threads", "descriptors", "memory MB", "steps/s", "cpu s/step")
    print(" ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)))
    part = max(1, len(rows) // 10)
    for first in range(0, len(rows), part):
        chunk = rows[first : first + part]
        median = {field: statistics.median(row[field] for row in chunk) for field in FIELDS}
        begin, end = chunk[0]["seconds"], chunk[-1]["seconds"]
        within = [(at, step) for at, step in done if begin <= at <= end]
        speed = ""
        if len(within) > 1:
            count, seconds = within[-1][1] - within[0][1], within[-1][0] - within[0][0]
            share = seconds / (end - begin)  # of the processor time of the chunk
            used = (chunk[-1]["cpu_seconds"] - chunk[0]["cpu_seconds"]) * share
            speed = f"{count / seconds:8.2f} {used / count:11.2f}"
        print(
            f"{begin / 60:8.1f} {median['processes']:10.0f} {median['threads']:8.0f} "
            f"{median['descriptors']:12.0f} {median['resident_mb']:10.0f} {speed}"
        )


if __name__ == "__main__":
    sys.exit(main())
