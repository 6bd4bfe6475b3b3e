"""J and F: the official numbers, the definition by brute force, and statistics of a sequence."""

import numpy as np
import pytest
import torch

from vidcorr import metrics
from vidcorr.metrics.rules import RULES
from vidcorr.metrics.scoring import AnnotatedVideo, numbers_in


@pytest.fixture(scope="module")
def davis(golden):
    return golden("davis_metrics")


def unpack(davis, key, shape):
    return np.unpackbits(davis[key], count=int(np.prod(shape))).reshape(shape).astype(bool)


def check_frames(prediction, target, expected):
    """Compare J and F of all frames but the first and the last, as DAVIS scores, with those expected: (K, 2, T − 2)."""
    video = AnnotatedVideo("video", range(len(target)), lambda t: numbers_in(target[t]))
    scorer = metrics.MaskScorer(RULES["davis-2017"], video)
    for t in video.frames:
        scorer.add(t, target[t], prediction[t])
    assert list(scorer.plan) == list(range(1, len(expected) + 1))
    for number, of_object in enumerate(expected, start=1):
        found = np.array([scorer.measured[number, t] for t in scorer.rules.counted(video)]).T
        np.testing.assert_allclose(found, of_object, rtol=0, atol=1e-12)


def test_golden_pairs_are_equal_to_the_last_bit(davis):
    for i in range(len(davis["pair_J"])):
        shape = (1, *davis[f"p{i}_shape"])
        prediction, target = (torch.from_numpy(unpack(davis, f"p{i}_{key}", shape)) for key in ("seg", "ann"))
        void = torch.from_numpy(unpack(davis, f"p{i}_void", shape)) if f"p{i}_void" in davis else None
        kind = davis["pair_kind"][i]
        assert metrics.region_similarity(prediction, target, void).item() == davis["pair_J"][i], kind
        assert metrics.boundary_accuracy(prediction, target, void=void).item() == davis["pair_F"][i], kind
        wider = metrics.boundary_accuracy(prediction, target, bound=3, void=void)
        assert wider.item() == davis["pair_F_bound3"][i], kind
        assert metrics.object_outlines(target[0], [1])[1].radius == davis["pair_bound_pix"][i]


@pytest.mark.parametrize(("truth", "prediction"), [("native", "native"), ("resized", "480x880")])
def test_golden_scores_on_native_and_on_resized_truth(golden, truth, prediction):
    content, metric = golden("protocols/metrics_vip_pck_davis"), metrics.RegionBoundary()
    masks = content[f"davis_pred_{prediction}"], content[f"davis_gt_{truth}"]
    metric.update(*masks, name="video")
    np.testing.assert_allclose(list(metric.compute().values()), content[f"davis_table_gt_{truth}"], rtol=0, atol=1e-12)
    check_frames(*masks, content[f"davis_JF_frames_gt_{truth}"][:, :, 1:-1])


def test_golden_scores_of_rvm(golden):
    """The official numbers on its masks: RVM's own count of objects, over the video, agrees where all start at once."""
    content, metric = golden("protocols/metrics_vip_pck_davis"), metrics.RegionBoundary()
    masks = content["davis_pred_native_rvm"], content["davis_gt_native"]
    metric.update(*masks, name="video")
    check_frames(*masks, np.stack([content["davis_rvm_J"], content["davis_rvm_F"]], axis=1))
    scores = metric.compute()
    found = [scores[key] for key in ("J&F-Mean", "J-Mean", "F-Mean")]
    np.testing.assert_allclose(found, content["davis_rvm_JF_J_F"], rtol=0, atol=1e-12)


def test_statistics_equal_golden(davis):
    for k in range(12):
        np.testing.assert_array_equal(metrics.sequence_statistics(davis[f"s{k}_vals"]), davis[f"s{k}_MRD"])


def test_decay_does_not_wrap_beyond_255_frames(davis):
    mean, recall, decay = metrics.sequence_statistics(davis["sLong_vals"])
    wrapped = davis["sLong_MRD_uint8wrap"]
    assert (mean, recall) == (wrapped[0], wrapped[1])
    assert decay == davis["sLong_D_nowrap"]
    assert abs(decay - wrapped[2]) > 1e-3
