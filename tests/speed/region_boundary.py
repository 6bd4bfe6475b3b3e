"""J and F per frame and object: ours against the plain method on one thread.

Run: python tests/speed/region_boundary.py [--repeats 7]

The plain method works on the whole picture: boundary by shifts, both boundaries dilated, counts. The masks are the
12 frames of 3 objects at 480 × 854 of the golden file, or two moving blobs where that is missing.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from callbacks.metrics import Outline, boundary_score, object_outlines, region_score  # noqa: E402
from tests.helpers.plain_masks import plain_boundary_score, plain_region  # noqa: E402
from tests.speed.table import row  # noqa: E402

GOLDEN = ROOT.parent / "shared" / "golden" / "davis_metrics.npz"
IdMaps = NDArray[np.uint8]
Scores = list[tuple[float, float]]


def id_maps() -> tuple[IdMaps, IdMaps, range]:
    """Predictions and targets (T, H, W) uint8, and the objects' ids."""
    if GOLDEN.is_file():
        with np.load(GOLDEN) as golden:
            shape = golden["seq_shape"]
            masks = [np.unpackbits(golden[k], count=shape.prod()).reshape(shape) for k in ("seq_pred", "seq_gt")]
        labels = np.arange(1, shape[0] + 1, dtype=np.uint8)[:, None, None, None]
        return (masks[0] * labels).max(0), (masks[1] * labels).max(0), range(1, shape[0] + 1)
    y, x = np.mgrid[:480, :854]

    def frame(shift: float) -> IdMaps:
        first = np.hypot(y - 200 - shift, x - 300 - 3 * shift) < 90 + 15 * np.sin(np.arctan2(y - 200, x - 300) * 7)
        second = np.hypot((y - 300) * 1.5, x - 600 + 2 * shift) < 110
        return np.where(first, 1, np.where(second, 2, 0)).astype(np.uint8)

    return np.stack([frame(t + 2) for t in range(12)]), np.stack([frame(t) for t in range(12)]), range(1, 3)


def plain(predictions: IdMaps, targets: IdMaps, objects: range) -> Scores:
    pairs = ((p == k, t == k) for p, t in zip(predictions, targets, strict=True) for k in objects)
    return [(plain_region(*pair), plain_boundary_score(*pair)) for pair in pairs]


def ours(predictions: IdMaps, targets: IdMaps | list[dict[int, Outline]], objects: range) -> Scores:
    scores: Scores = []
    for p, t in zip(predictions, targets, strict=True):
        a, b = object_outlines(p, objects), t if isinstance(t, Mapping) else object_outlines(t, objects)
        scores += [(region_score(a[k], b[k]), boundary_score(a[k], b[k])) for k in objects]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(1)
    predictions, targets, objects = id_maps()
    kept = [object_outlines(target, objects) for target in targets]
    methods: dict[str, Callable[[], Scores]] = {
        "plain": lambda: plain(predictions, targets, objects),
        "ours": lambda: ours(predictions, targets, objects),
        "ours, target kept": lambda: ours(predictions, kept, objects),
    }
    scores = [method() for method in methods.values()]
    assert all(other == scores[0] for other in scores), "the scores differ"
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            seconds[name].append(time.perf_counter() - start)
    print(f"{len(scores[0])} masks of {targets.shape[1]} × {targets.shape[2]}, scores equal bit for bit; ms per mask")
    for name, times in seconds.items():
        low, middle = min(times), statistics.median(times)
        ratios = (
            f"{min(seconds['plain']) / low:5.1f}× (min) {statistics.median(seconds['plain']) / middle:5.1f}× (median)"
        )
        print(f"{name:20s} min {low / len(scores[0]) * 1e3:.3f}  median {middle / len(scores[0]) * 1e3:.3f}  {ratios}")
        if name != "plain":
            row(f"J and F of a mask, {name}", min(seconds["plain"]) / len(scores[0]), low / len(scores[0]))


if __name__ == "__main__":
    main()
