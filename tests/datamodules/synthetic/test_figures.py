"""Articulated figures: drawn at their joints."""

import numpy as np

from datamodules.datasets.jhmdb import JOINTS
from datamodules.datasets.vip import PARTS
from datamodules.synthetic import render_figures


def test_figures_are_drawn_at_their_joints() -> None:
    video, ids, joints = render_figures(0, 0, 8, (120, 160))
    assert (video.shape, joints.shape) == ((8, 120, 160, 3), (1, 8, 15, 2))
    wrist, elbow = JOINTS.index("right wrist"), JOINTS.index("right elbow")
    for t in range(8):
        x, y = np.round((joints[0, t, wrist] + joints[0, t, elbow]) / 2).astype(int)
        assert ids[t, y, x] == 20 + PARTS.index("right-arm")  # the limb in front
    lengths = np.linalg.norm(joints[0, :, wrist] - joints[0, :, elbow], axis=1)
    torso = np.linalg.norm(joints[0, :, JOINTS.index("neck")] - joints[0, :, JOINTS.index("belly")], axis=1)
    np.testing.assert_allclose(lengths / torso, lengths[0] / torso[0])
    assert np.ptp(joints[0, :, wrist], axis=0).max() > 5
