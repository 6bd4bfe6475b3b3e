"""Semantic IoU equal to the public codes; instances matched by class."""

import numpy as np
import pytest
import torch

from vidcorr.functional.propagation.resizing import resize_ids
from vidcorr.metrics import SemanticIoU, class_areas
from vidcorr.metrics.parts import match_instances


def test_golden_areas_and_scores(golden):
    vip = golden("vip_miou")
    for k in range(4):
        prediction, target = torch.from_numpy(vip[f"c{k}_pred"]), torch.from_numpy(vip[f"c{k}_gt"])
        metric = SemanticIoU()
        np.testing.assert_array_equal(class_areas(prediction, target), vip[f"c{k}_areas"])
        metric.update(prediction, target, name="clip")
        scores = metric.compute()
        for key in ("mIoU", "mAcc", "aAcc"):
            assert scores[key] == pytest.approx(float(vip[f"c{k}_{key}"]), abs=1e-15)


def test_golden_scores_of_newer_codes_count_frame_0_and_sum_over_the_data(golden):
    """Predictions of another size are brought to the annotation's by Pillow's nearest pixel, as the protocols do."""
    content, metric = golden("protocols/metrics_vip_pck_davis"), SemanticIoU()
    for video in (0, 1):
        target = torch.from_numpy(content[f"vip_gt{video}"])
        found = [resize_ids(ids, target.shape[1:]) for ids in torch.from_numpy(content[f"vip_pred{video}"])]
        metric.update(torch.stack(found), target, name=f"video{video}")
    for code in ("cropmae", "rvm"):
        assert metric.compute()["mIoU"] == pytest.approx(float(content[f"vip_{code}_miou"]), abs=1e-12)


def test_instances_without_a_class_and_ids_that_are_nowhere_match_nothing():
    mine = np.repeat([[1, 2, 3, 7, 0]], [10, 8, 4, 10, 8], axis=1)
    truth = np.repeat([[1, 4, 7, 0]], [4, 14, 4, 18], axis=1)
    classes = {-1: 9, 0: 9, 1: 5, 2: 5, 3: 9, 6: 5}  # 7 has no class; -1 and 6 are nowhere
    scores = {0: 0.3, 1: 0.5, 2: 0.9, 3: 0.7}
    detections, kinds = match_instances(mine, truth, classes, scores, {1: 5, 4: 5, 6: 5})
    assert detections.round(decimals=3).tolist() == [[5, 0.9, 0.571], [9, 0.7, 0], [5, 0.5, 0.4], [9, 0.3, 0]]
    assert kinds.tolist() == [5, 5]
