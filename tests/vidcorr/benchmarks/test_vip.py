"""VIP from files to scores: classes by mean IoU, instances by AP."""

import pytest
import torch

from tests.helpers.masks import read_masks
from vidcorr import VipBenchmark
from vidcorr.benchmarks.vip import instance_scores
from vidcorr.datasets import Vip
from vidcorr.datasets.generated import write_vip
from vidcorr.metrics import SemanticIoU

SMALL = {"radius": 4, "context": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_vip(tmp_path_factory.mktemp("data") / "vip", 2, frames=3, size=(48, 64))


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return VipBenchmark(root, changes=SMALL).evaluate("raw_colour@colour/4", folder).scores, folder


@pytest.mark.slow
def test_miou_is_that_of_the_predictions_on_disk(root, run):
    scores, folder = run
    metric = SemanticIoU()
    for video in Vip(root):
        target = torch.stack([video.read_mask(t) for t in range(video.num_frames)])
        metric.update(read_masks(folder / "semantic/predictions" / video.name), target, name=video.name)
    assert {key: scores[key] for key in ("mIoU", "mAcc", "aAcc")} == metric.compute()
    assert 0.1 < scores["mIoU"] < 1


def test_the_score_of_an_instance_is_the_mean_of_its_label_inside_it():
    """Labels of two cells a side are up-sampled over 4 px, of which the frame shows 3; object 9 is not found."""
    labels = torch.tensor([[[0.0, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 1], [0, 1]], [[1, 1], [1, 1]]])
    mask = torch.tensor([[5, 5, 7], [5, 0, 7], [0, 0, 7], [5, 0, 0]])
    found = instance_scores(labels, mask, [5, 7, 9], (4, 4))
    assert found == pytest.approx({5: (1 + 1 + 0.75 + 0) / 4, 7: 0.75})


@pytest.mark.slow
def test_one_kind_of_parts_alone(root, run):
    alone = VipBenchmark(root, parts=["semantic"], changes=SMALL)
    assert alone.evaluate("raw_colour@colour/4").scores == {key: run[0][key] for key in ("mIoU", "mAcc", "aAcc")}
