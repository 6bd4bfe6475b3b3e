"""J and F per frame and object: ours against the plain method on one thread.

    python tests/speed/region_boundary.py [--repeats 7]

The plain method works on the whole image: boundary by shifts, both boundaries dilated, counts. The masks are the 12
frames of 3 objects at 480 × 854 of the golden file.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks.metrics import boundary_score, object_outlines, region_score
from tests.helpers.plain_masks import plain_boundary_score, plain_region
from tests.speed.timing import DATA, compare, flags


def main() -> None:
    repeats = flags(__doc__, 7).parse_args().repeats
    cv2.setNumThreads(1)
    with np.load(DATA.parent / "golden" / "davis_metrics.npz") as golden:
        shape = golden["seq_shape"]
        masks = [np.unpackbits(golden[key], count=shape.prod()).reshape(shape) for key in ("seq_pred", "seq_gt")]
    objects = range(1, shape[0] + 1)
    predictions, targets = ((mask * np.uint8(objects)[:, None, None, None]).max(0) for mask in masks)
    kept = [object_outlines(target, objects) for target in targets]

    def plain() -> list[tuple[float, float]]:
        pairs = ((p == k, t == k) for p, t in zip(predictions, targets, strict=True) for k in objects)
        return [(plain_region(*pair), plain_boundary_score(*pair)) for pair in pairs]

    def ours(against) -> list[tuple[float, float]]:
        scores = []
        for p, t in zip(predictions, against, strict=True):
            a, b = object_outlines(p, objects), t if isinstance(t, Mapping) else object_outlines(t, objects)
            scores += [(region_score(a[k], b[k]), boundary_score(a[k], b[k])) for k in objects]
        return scores

    assert plain() == ours(targets) == ours(kept), "the scores differ"
    own = {"ours": lambda: ours(targets), "ours, target kept": lambda: ours(kept)}
    compare("J and F of a mask", {"plain": plain}, own, repeats, unit=len(targets) * len(objects))


if __name__ == "__main__":
    main()
