"""PCK of joints: the public codes to the digit, the sane rule by hand; PCK by the object's area against a loop."""

import math

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


def test_the_sane_rule_by_hand():
    target = torch.tensor([[[0.0, 10.0], [30.0, 50.0], [31.0, 5.0]]]).repeat(3, 1, 1)
    target[2, 2] = float("nan")
    prediction = target.clone()
    prediction[1, 0, 0] += 6  # the box of the joints inside is 30 × 40: its size is 0.6 · 50 = 30
    prediction[1, 1] = -1  # not found
    prediction[2, 1] = float("nan")
    distances = keypoint_distances(prediction, target, "ground-truth", size=(51, 31))
    nan, inf = math.nan, math.inf
    expected = [[nan, nan, nan], [0.2, inf, nan], [0.0, inf, nan]]
    torch.testing.assert_close(distances, torch.tensor(expected, dtype=torch.float64), equal_nan=True)
    metric = PCK((0.1, 0.2), counting="ground-truth")
    metric.update(prediction, target, size=(51, 31))
    assert metric.compute() == {"PCK@0.1": 0.25, "PCK@0.2": 0.5}
    assert keypoint_distances(target[:1, 2:], target[:1, 2:]).item() == inf  # of a box without extent


def test_distances_of_joints_are_those_of_the_original_code(golden):
    data = golden("jhmdb_pck")
    distances = torch.cat([keypoint_distances(p, t) for p, t in videos(golden, "pred")])
    np.testing.assert_array_equal((~distances.isnan()).sum(0), data["vfs_ndist_count"])
    joint_by_joint = distances.T[~distances.T.isnan()]
    np.testing.assert_allclose(joint_by_joint, data["vfs_ndist"], rtol=0, atol=1e-12)
