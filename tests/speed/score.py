"""Seconds of `vidcorr score` beside a plain scorer, on real masks scored against themselves, one frame late.

    python tests/speed/score.py [--truth ../shared/data/davis/Annotations/480p] [--rules davis-2017]

The plain scorer is that of tests/helpers/plain_masks.py: boundaries and dilations over the entire picture. Reading of
the files counts in both. Each scorer runs in a process of its own, threads of the machine's choice; processor seconds
are those of all its threads.
"""

import argparse
import dataclasses
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from callbacks.tools.score import RULES, score  # noqa: E402
from tests.helpers.plain_masks import plain_score  # noqa: E402

Times = tuple[float, float, dict[str, tuple[float, float]]]


def run(name: str, truth: Path, predictions: Path, rules: str) -> Times:
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
        print(f"{masks} masks, {flags.rules}, {os.cpu_count()} cores; the least of {flags.repeats} runs")
        found = {}
        for name in ("plain", "one thread", "all cores"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                runs = [pool.apply(run, (name, flags.truth, late, flags.rules)) for _ in range(flags.repeats)]
            found[name] = runs[0][2]
            print(f"{name:10} {min(r[0] for r in runs):6.2f} s, {min(r[1] for r in runs):6.2f} processor seconds")
        pairs = [(a, b) for k in found["plain"] for a, b in zip(found["plain"][k], found["all cores"][k], strict=True)]
        print(f"largest difference of a J or F: {max(abs(a - b) for a, b in pairs):.1e}")


if __name__ == "__main__":
    main()
