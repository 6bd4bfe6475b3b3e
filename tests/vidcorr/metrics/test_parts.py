"""Semantic IoU equal to the public codes; AP of instances by hand."""

import numpy as np
import pytest
import torch

from vidcorr.functional.propagation.resizing import resize_ids
from vidcorr.metrics import SemanticIoU, class_areas
from vidcorr.metrics.parts import ap_of_classes, ap_scores, match_instances


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


def strip(*lengths, width=40):
    """(1, width) id map: runs of (id, pixels) from the left."""
    ids = [k for k, n in lengths for _ in range(n)]
    return torch.tensor([ids + [0] * (width - len(ids))])


def test_instances_by_hand():
    """Classes 5 and 9; ids 0 and 4 have a class too, −1 and 6 are nowhere, and 7 has none."""
    classes = {-1: 9, 0: 9, 1: 5, 2: 5, 3: 9, 6: 5}
    scores = {0: 1 / 3, 1: 0.5, 2: 0.9, 3: 0.7}
    mine, truth = strip((1, 10), (2, 8), (3, 4), (7, 10)), strip((1, 4), (4, 14), (7, 4), (3, 2))
    detections, kinds = match_instances(mine, truth, classes, scores, {1: 5, 4: 5, 3: 9, 6: 5})
    assert detections.tolist() == [[5, 0.9, 8 / 14], [9, 0.7, 0], [5, 0.5, 4 / 10], [9, 1 / 3, 0]]
    assert kinds.tolist() == [5, 9, 5]
    assert match_instances(mine, truth, {1: 5}, scores, {})[0].tolist() == [[5, 0.5, 0]]
    frames = [(detections, kinds), (torch.tensor([[5, 0.6, 0.35], [7, 0.1, 0.9]]), torch.tensor([5]))]
    table = ap_of_classes(frames)
    assert table == {5: pytest.approx([1, 1, 1, 1 / 3, 1 / 3, 0, 0, 0, 0]), 7: [0.0] * 9, 9: [0.0] * 9}
    assert ap_scores(frames)["AP"] == pytest.approx(np.mean(list(table.values())), rel=1e-12)
