"""CPU time of `vidcorr score` beside the official vos-benchmark, or a plain scorer, on the same masks.

    python -m tests.speed.score --official FOLDER

FOLDER holds the unpacked package `vos_benchmark` (`pip install --target FOLDER vos-benchmark`); without it a plain
scorer by the rules of YouTube-VOS takes its place: bitwise boundaries and dilations over the whole image, frame by
frame (tests/helpers/plain_masks.py). The masks are DAVIS's annotations against themselves, one frame late.
Both read the files, in one process each, and take turns.
"""

import gc
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.helpers.plain_masks import plain_score
from tests.speed.timing import compare, flags, real_folder
from vidcorr.scoring.masks import score

Means = tuple[float, float]


def write_late(truth: Path, folder: Path) -> None:
    """Copy annotations, and as predictions each mask of the frame before."""
    for sequence in sorted(truth.iterdir()):
        files = sorted(sequence.glob("*.png"))
        shutil.copytree(sequence, folder / "truth" / sequence.name)
        (folder / "mine" / sequence.name).mkdir(parents=True)
        for file, source in zip(files, [files[0], *files[:-1]], strict=True):
            shutil.copy(source, folder / "mine" / sequence.name / file.name)


def official(folder: Path) -> Means:
    """Score by vos-benchmark in one process."""
    from vos_benchmark.benchmark import benchmark

    folders = [str(folder / "truth")], [str(folder / "mine")]
    _, region, boundary, _ = benchmark(*folders, num_processes=1, verbose=False)
    gc.collect()  # joins the process of its pool, whose CPU time counts from then on
    return region[0] / 100, boundary[0] / 100


def plain(folder: Path) -> Means:
    """Score by the plain scorer."""
    scores = plain_score(folder / "truth", folder / "mine", last_scored=True, entering=True)
    region, boundary = np.mean(list(scores.values()), axis=0)
    return float(region), float(boundary)


def ours(folder: Path, rules: str) -> Means:
    """Score by `vidcorr score` in one process."""
    scores = score(folder / "truth", folder / "mine", rules).scores
    return scores.get("J", scores.get("J-Mean", 0.0)), scores.get("F", scores.get("F-Mean", 0.0))


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--official", type=Path, metavar="FOLDER", help="folder of the package vos_benchmark")
    given = parser.parse_args()
    other, rules = (plain, "youtube-vos")
    if given.official is not None:
        sys.path.append(str(given.official))
        other, rules = (official, "vos-benchmark")
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_late(real_folder() / "davis/Annotations/480p", folder)
        masks = len(list((folder / "truth").rglob("*.png")))
        ways = {other.__name__: lambda: other(folder)}, lambda: ours(folder, rules)
        compare(f"score by {rules}, {masks} masks", *ways, given.repeats)
        difference = np.abs(np.subtract(other(folder), ours(folder, rules))).max()
    print(f"largest difference of the mean J or F: {difference:.1e}")


if __name__ == "__main__":
    main()
