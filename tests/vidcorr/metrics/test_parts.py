"""Semantic IoU equal to the public codes; AP of instances by hand and by a loop written from the definition."""

import math

import numpy as np
import pytest
import torch

from vidcorr.functional.propagation.resizing import resize_ids
from vidcorr.metrics import InstanceAP, RegionBoundary, SemanticIoU, average_precision, class_areas
from vidcorr.metrics.parts import AP_THRESHOLDS, ap_of_classes, match_instances


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


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_classes_that_do_not_occur():
    metric = SemanticIoU(classes=4)
    metric.update(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 0, 0, 255]), name="a")
    # class 0: 2 / 3; class 1 only predicted: 0; classes 2 and 3 nowhere (one pixel is ignored)
    assert metric.compute()["mIoU"] == pytest.approx(1 / 3)
    assert math.isnan(SemanticIoU().compute()["mIoU"])
    assert math.isnan(RegionBoundary().compute()["J&F-Mean"])
    assert average_precision(np.array([False]), np.ones(1), 0) == average_precision(np.zeros(0), np.zeros(0), 1) == 0


def strip(*lengths, width=40):
    """(1, width) id map: runs of (id, pixels) from the left."""
    ids = [k for k, n in lengths for _ in range(n)]
    return torch.tensor([ids + [0] * (width - len(ids))])


def test_equal_scores_have_no_order():
    correct = np.array([True, False, True])
    assert average_precision(correct, np.ones(3), 3) == pytest.approx(2 / 3 * 2 / 3)


def test_an_iou_of_the_threshold_itself_is_wrong():
    half = InstanceAP()
    half.update(strip((1, 5)), strip((1, 10)), name="clip", classes={1: 5}, scores={1: 1.0})
    scores = half.compute()
    assert [scores[f"AP@{i / 10:g}"] for i in range(1, 10)] == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert scores["AP"] == pytest.approx(4 / 9)


def looped_ap(frames, classes, kind, threshold):
    """AP of one class from the definition, masks one by one."""
    ranked, annotated = [], 0
    for prediction, target, scores in frames:
        truths = [k for k in np.unique(target) if classes.get(int(k)) == kind]
        annotated += len(truths)
        for k in np.unique(prediction):
            if classes.get(int(k)) != kind:
                continue
            mask = prediction == k
            overlaps = [(mask & (target == g)).sum() / (mask | (target == g)).sum() for g in truths]
            ranked.append((scores[int(k)], max(overlaps, default=0.0)))
    ranked.sort(reverse=True)
    right, curve = 0, []
    for n, (_, overlap) in enumerate(ranked, start=1):
        right += overlap > threshold
        curve.append((right, right / n))
    area, before = 0.0, 0
    for i, (found, _) in enumerate(curve):
        area += (found - before) / annotated * max(precision for _, precision in curve[i:])
        before = found
    return area


def test_equal_to_a_loop():
    generator = np.random.default_rng(0)
    classes = {k: 1 + k % 3 for k in range(1, 13)}
    metric = InstanceAP()
    frames = []
    for _ in range(6):
        target = np.kron(generator.integers(0, 13, (5, 6)), np.ones((4, 4), dtype=int))
        noise = generator.random(target.shape) < 0.4
        prediction = np.where(noise, np.roll(generator.integers(0, 13, target.shape), 1), target)
        scores = {k: float(generator.random()) for k in classes}
        frames.append((prediction, target, scores))
        metric.update(prediction, target, name="clip", classes=classes, scores=scores)
    lone, kinds = match_instances(strip((0, 3), (2, 1)), strip((0, 6)), {-1: 4, 0: 3, 2: 5}, {0: 0.7, 2: 1 / 3}, {0: 3})
    assert lone.tolist() == [[3, 0.7, 39 / 40], [5, 1 / 3, 0]]
    assert kinds.tolist() == [3]
    matches = [match_instances(found, truth, classes, of_ids) for found, truth, of_ids in frames]
    table = ap_of_classes(matches)
    for kind in (1, 2, 3):
        expected = [looped_ap(frames, classes, kind, threshold) for threshold in AP_THRESHOLDS]
        assert table[kind] == pytest.approx(expected, abs=1e-12)
    assert metric.compute()["AP"] == pytest.approx(np.mean(list(table.values())), rel=1e-12)
    assert 0.05 < metric.compute()["AP"] < 0.95
