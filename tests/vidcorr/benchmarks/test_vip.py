"""VIP from files to scores: classes by mean IoU, instances by AP."""

import pytest
import torch

from tests.helpers.masks import read_masks
from tests.helpers.refusal import refused
from vidcorr import VipBenchmark
from vidcorr.benchmarks.masks import annotated_frames
from vidcorr.datasets import Vip
from vidcorr.datasets.generated import write_vip
from vidcorr.metrics import InstanceAP, SemanticIoU
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding, follow_labels

pytestmark = pytest.mark.slow
SMALL = {"radius": 4, "context": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_vip(tmp_path_factory.mktemp("data") / "vip", 2, frames=3, size=(48, 64))


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return VipBenchmark(root, changes=SMALL).evaluate("raw_colour@colour/4", folder).scores, folder


def test_miou_is_that_of_the_predictions_on_disk(root, run):
    scores, folder = run
    metric = SemanticIoU()
    for video in Vip(root):
        target = torch.stack([video.read_mask(t) for t in range(video.num_frames)])
        metric.update(read_masks(folder / "semantic/predictions" / video.name), target, name=video.name)
    assert {key: scores[key] for key in ("mIoU", "mAcc", "aAcc")} == metric.compute()
    assert 0.1 < scores["mIoU"] < 1


def test_ap_ranks_instances_by_their_mean_label(root, run, colour):
    scores, folder = run
    encoder, metric = FrameEncoder(colour, VipBenchmark(root, changes=SMALL).protocol), InstanceAP()
    for video in Vip(root, parts="instance"):
        with torch.inference_mode():
            coding = MaskCoding(encoder, video.size, video.size, video.starts)
            tracked = follow_labels(annotated_frames(video, video.read()), coding)
            for t, prediction in enumerate(tracked):
                labels, mask = prediction.labels, prediction.decoded
                assert torch.equal(read_masks(folder / "instance/predictions" / video.name)[t], mask)
                maps = torch.nn.functional.interpolate(labels[None], size=video.size, mode="bilinear")[0]
                means = {i: float(maps[i][mask == i].mean()) for i in video.objects if (mask == i).any()}
                target, classes = video.instances(t)
                if t > 0:
                    metric.update(mask, target, classes=video.classes, scores=means, target_classes=classes)
    expected = {key.replace("AP", "AP-unofficial"): value for key, value in metric.compute().items()}
    assert {key: value for key, value in scores.items() if key.startswith("AP")} == pytest.approx(expected)
    assert 0 < scores["AP-unofficial"] < 1


def test_one_kind_of_parts_alone(root, run):
    alone = VipBenchmark(root, parts=["semantic"], changes=SMALL)
    assert alone.evaluate("raw_colour@colour/4").scores == {key: run[0][key] for key in ("mIoU", "mAcc", "aAcc")}
    refused(ValueError, r"parts is \['both'\]", VipBenchmark, root, parts=["both"])
