"""Paths of sprites."""

import numpy as np

from datamodules.synthetic.motion import Motion, Wave


def test_drift_bounces_inside_its_box() -> None:
    still = Wave(0, 1, 0)
    motion = Motion((4, 5), (3, -2), (0, 0, 10, 6), (still, still), still, still)
    assert motion.centre(2) == (10, 1)
    assert motion.centre(3) == (7, 1)  # 13 → 10 − 3; −1 → 1
    assert np.allclose(motion.matrix(0), [[1, 0, 4], [0, 1, 5]])
