"""Seconds of `vidcorr score` against a plain scorer, on real masks scored against themselves, one frame late.

    python tests/speed/score.py [--truth ../shared/data/davis/Annotations/480p] [--rules davis-2017]

The official tool is not installed here. The plain scorer does what it does, frame by frame and object by object over
the entire picture: bitwise boundaries, OpenCV's dilation by a disk, sums (tests/helpers/plain_masks.py; numpy draws
scikit-image's disk). Reading of the files counts in both. The scorers take turns; CPU seconds are those of all
processes, and the ratios are medians over the turns. Each worker is pinned to a core: the kernel of a virtual machine
may pack them all on one (`sched_vcpu_pack`).
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from callbacks.tools.score import score  # noqa: E402
from datamodules.reading.files import usable_cores  # noqa: E402
from tests.helpers.plain_masks import plain_score  # noqa: E402
from tests.speed.table import row  # noqa: E402

PLAIN: dict[str, dict[str, bool]] = {
    "davis-2017": {},
    "davis-2016": {"merged": True},
    "youtube-vos": {"last_scored": True, "entering": True},
}
"""Rules → arguments of the plain scorer."""

Scores = dict[str, tuple[float, float]]


def run(name: str, truth: Path, predictions: Path, rules: str) -> tuple[float, float, Scores]:
    """Return seconds, CPU seconds, and mean J and F of each object."""
    began, processor = time.perf_counter(), processor_seconds()
    if name == "plain":
        found = plain_score(truth, predictions, **PLAIN[rules])
    else:
        workers = 1 if name == "one process" else usable_cores()
        rows = score(truth, predictions, rules, workers=workers).rows()
        found = {str(row["Sequence"]): (float(row["J-Mean"]), float(row["F-Mean"])) for row in rows}
    return time.perf_counter() - began, processor_seconds() - processor, found


def processor_seconds() -> float:
    """Return those of this process and of the processes that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Write the late masks, time both scorers and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared/data/davis/Annotations/480p")
    parser.add_argument("--rules", choices=list(PLAIN), default="davis-2017")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="of each sequence")
    flags = parser.parse_args()
    with TemporaryDirectory() as folder:
        truth, late = Path(folder) / "truth", Path(folder) / "late"
        for sequence in sorted(flags.truth.iterdir()):
            files = sorted(sequence.glob("*.png"))
            for copy in map(str, range(flags.copies)):
                shutil.copytree(sequence, truth / (sequence.name + copy))
                (late / (sequence.name + copy)).mkdir(parents=True)
                for file, source in zip(files, [files[0], *files[:-1]], strict=True):
                    shutil.copy(source, late / (sequence.name + copy) / file.name)
        masks = len(list(late.rglob("*.png")))
        print(f"{masks} masks, {flags.rules}, {usable_cores()} cores; minima and medians of {flags.repeats} turns")
        names = ("plain", "one process", "all cores")
        turns = [{name: run(name, truth, late, flags.rules) for name in names} for _ in range(flags.repeats)]
    for name in names:
        wall, processor = ([turn[name][k] for turn in turns] for k in (0, 1))
        ratios = [median(turn[other][0] / turn[name][0] for turn in turns) for other in ("plain", "one process")]
        print(
            f"{name:11} min {min(wall):6.2f}  median {median(wall):6.2f} s ({ratios[0]:.2f}x plain, {ratios[1]:.2f}x "
            f"one process), processor {min(processor):6.2f}  {median(processor):6.2f} s"
        )
        if name != "plain":
            row(f"score, {masks} masks, {name}", min(turn["plain"][0] for turn in turns), min(wall))
    found = {name: turns[0][name][2] for name in names}
    pairs = [(a, b) for k in found["plain"] for a, b in zip(found["plain"][k], found["all cores"][k], strict=True)]
    print(f"largest difference of a J or F: {max(abs(a - b) for a, b in pairs):.1e}")


if __name__ == "__main__":
    main()
