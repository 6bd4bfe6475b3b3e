"""Seconds of `vidcorr score` against a plain scorer, on real masks scored against themselves, one frame late.

    python tests/speed/score.py [--truth ../shared/data/davis/Annotations/480p] [--rules davis-2017]

The official tool is not installed here. The plain scorer does what it does, frame by frame and object by object over
the entire picture: bitwise boundaries, OpenCV's dilation by a disk, sums (tests/helpers/plain_masks.py; numpy draws
scikit-image's disk). Reading of the files counts in both. The scorers take turns in one process; processor seconds are
those of all threads, and the ratio is the median over the turns.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from callbacks.tools.score import RULES, score  # noqa: E402
from tests.helpers.plain_masks import plain_score  # noqa: E402

Scores = dict[str, tuple[float, float]]


def run(name: str, truth: Path, predictions: Path, rules: str) -> tuple[float, float, Scores]:
    """Return seconds, processor seconds, and mean J and F of each object."""
    began, processor = time.perf_counter(), time.process_time()
    if name == "plain":
        found = plain_score(truth, predictions, **dataclasses.asdict(RULES[rules]))
    else:
        workers = 1 if name == "one thread" else None
        rows = score(truth, predictions, rules, workers=workers).rows()
        found = {str(row["Sequence"]): (float(row["J-Mean"]), float(row["F-Mean"])) for row in rows}
    return time.perf_counter() - began, time.process_time() - processor, found


def main() -> None:
    """Write the late masks, time both scorers and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared/data/davis/Annotations/480p")
    parser.add_argument("--rules", choices=list(RULES), default="davis-2017")
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    with TemporaryDirectory() as folder:
        late = Path(folder)
        for sequence in sorted(flags.truth.iterdir()):
            (late / sequence.name).mkdir()
            files = sorted(sequence.glob("*.png"))
            for file, source in zip(files, [files[0], *files[:-1]], strict=True):
                shutil.copy(source, late / sequence.name / file.name)
        masks = len(list(late.rglob("*.png")))
        print(f"{masks} masks, {flags.rules}, {os.cpu_count()} cores; medians of {flags.repeats} turns")
        names = ("plain", "one thread", "all cores")
        turns = [{name: run(name, flags.truth, late, flags.rules) for name in names} for _ in range(flags.repeats)]
    for name in names:
        wall, processor = (median(turn[name][k] for turn in turns) for k in (0, 1))
        ratios = (median(turn["plain"][k] / turn[name][k] for turn in turns) for k in (0, 1))
        print(
            f"{name:10} {wall:6.2f} s ({next(ratios):.1f}x), {processor:6.2f} processor seconds ({next(ratios):.1f}x)"
        )
    found = {name: turns[0][name][2] for name in names}
    pairs = [(a, b) for k in found["plain"] for a, b in zip(found["plain"][k], found["all cores"][k], strict=True)]
    print(f"largest difference of a J or F: {max(abs(a - b) for a, b in pairs):.1e}")


if __name__ == "__main__":
    main()
