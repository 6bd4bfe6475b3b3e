"""PCK of joints: the public codes to the digit."""

import numpy as np
import pytest
import torch

from vidcorr.metrics import PCK, keypoint_distances

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
"""A division by zero is meant, and told to nobody."""


def videos(golden, key):
    """(T, 15, 2) predictions and annotations in zero-based pixels."""
    data = golden("jhmdb_pck")
    scale = data["image_wh"] / 40 if key == "pred_grid40" else 1
    joints = []
    for v in range(4):
        truth = data[f"v{v}_gt_pos_img"].transpose(2, 1, 0) - 1
        joints.append((data[f"v{v}_{key}"].transpose(2, 1, 0) * scale, truth))
    return joints


CODES = [("prediction-visible", "pred", "vfs_pck"), ("crw", "pred_grid40", "crw_pck")]


@pytest.mark.parametrize(("counting", "key", "expected"), CODES)
def test_pck_is_that_of_the_original_code(golden, counting, key, expected):
    metric = PCK(counting=counting)
    for v, (prediction, target) in enumerate(videos(golden, key)):
        metric.update(torch.from_numpy(prediction), torch.from_numpy(target), name=f"video{v}")
    scores = metric.compute()
    assert list(scores) == ["PCK@0.1", "PCK@0.2", "PCK@0.3", "PCK@0.4", "PCK@0.5"]
    np.testing.assert_allclose(list(scores.values()), golden("jhmdb_pck")[expected] / 100, rtol=0, atol=1e-12)


def test_golden_scores_of_newer_codes(golden):
    """Frame 0 left out, a joint at x = 0 counts, one that is lost in a clip does not."""
    content, metric = golden("protocols/metrics_vip_pck_davis"), PCK(counting="crw")
    for clip in range(3):
        cells = content[f"pck_pred_grid{clip}"].transpose(2, 1, 0).astype(np.float64)
        target = content[f"pck_pos_img{clip}"].transpose(2, 1, 0) - 1
        metric.update(cells * content["pck_image_wh"] / 20, target, name=f"clip{clip}")
    scores = list(metric.compute().values())
    for code in ("cropmae", "rvm"):
        np.testing.assert_allclose(scores, content[f"pck_{code}"] / 100, rtol=0, atol=1e-6)


def test_distances_of_joints_are_those_of_the_original_code(golden):
    data = golden("jhmdb_pck")
    distances = torch.cat([keypoint_distances(p, t) for p, t in videos(golden, "pred")])
    np.testing.assert_array_equal((~distances.isnan()).sum(0), data["vfs_ndist_count"])
    joint_by_joint = distances.T[~distances.T.isnan()]
    np.testing.assert_allclose(joint_by_joint, data["vfs_ndist"], rtol=0, atol=1e-12)
