"""One-pass evaluation equal to the GOT-10k toolkit."""

import numpy as np
import pytest
import torch

from vidcorr.metrics import TrackingSuccess, box_iou, centre_error, precision_curve, success_curve
from vidcorr.metrics.box_tracking import mean_curves


def test_curves_of_each_sequence_are_the_toolkits(golden):
    otb = golden("otb_metrics")
    np.testing.assert_array_equal(box_iou(otb["rand_a"], otb["rand_b"]), otb["rand_iou"])
    np.testing.assert_array_equal(centre_error(otb["rand_a"], otb["rand_b"]), otb["rand_ce"])
    for k in range(6):
        boxes, truth = np.round(otb[f"s{k}_pred"], 3), otb[f"s{k}_gt"]
        boxes[0] = truth[0]
        iou, error = box_iou(boxes, truth), centre_error(boxes, truth)
        np.testing.assert_array_equal(iou, otb[f"s{k}_iou"])
        np.testing.assert_array_equal(error, otb[f"s{k}_ce"])
        np.testing.assert_array_equal(success_curve(iou), otb[f"s{k}_succ"])
        np.testing.assert_array_equal(precision_curve(error), otb[f"s{k}_prec"])


def test_mean_curves_are_the_toolkits(golden):
    otb = golden("otb_metrics")
    metric = TrackingSuccess()
    for k in range(5):
        metric.update(torch.from_numpy(otb[f"s{k}_pred"]), torch.from_numpy(otb[f"s{k}_gt"]), name=f"s{k}")
    success, precision = mean_curves([curves for (curves,) in metric.table().values()])
    np.testing.assert_allclose(success, otb["overall_succ"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(precision, otb["overall_prec"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(list(metric.compute().values()), otb["overall_scores"], rtol=0, atol=1e-15)
    assert list(metric.compute()) == ["success", "precision@20px", "success@0.5"]
    assert [np.isnan(curve).sum() for curve in mean_curves([])] == [21, 51]
    for row, k in zip(metric.rows(), range(5), strict=True):
        assert list(row.values())[1:] == pytest.approx(otb[f"s{k}_scores"], rel=0, abs=1e-15)
