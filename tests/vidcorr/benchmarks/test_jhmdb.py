"""JHMDB from files to scores, against a plain reimplementation of the complete chain, and on the two real clips."""

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers.plain_propagation import plain_propagation
from tests.helpers.runs import rows_of
from vidcorr import JhmdbBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.datasets import Jhmdb
from vidcorr.datasets.generated import write_jhmdb
from vidcorr.datasets.jhmdb import JOINTS
from vidcorr.metrics import PCK

pytestmark = pytest.mark.slow
SMALL = {"radius": 6, "context": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_jhmdb(tmp_path_factory.mktemp("data") / "jhmdb", 2, frames=4, size=(120, 160))


def read_joints(folder, clip):
    rows = rows_of(folder, f"predictions/{clip.name}.csv")
    assert [row["joint"] for row in rows] == list(JOINTS) * clip.num_frames
    return torch.tensor([[float(row["x"]), float(row["y"])] for row in rows]).view(clip.num_frames, 15, 2)


def plain_joints(clip, extractor, protocol):
    """VFS's chain joint by joint and pixel by pixel: heat-maps at the frame's size, top-5, frames by OpenCV."""
    frames = [np.ascontiguousarray(clip.frame(t).permute(1, 2, 0).numpy()) for t in range(clip.num_frames)]
    resized = [cv2.resize(frame.astype(np.float32) / 255, (320, 320)) for frame in frames]
    features = torch.cat([extractor(torch.from_numpy(frame).permute(2, 0, 1)[None]) for frame in resized])
    height, width = clip.size
    drawn = torch.zeros(15, height, width)
    for joint, (x, y) in enumerate(clip.points[0]):
        left, top, right, bottom = (math.trunc(value) for value in (x - 12, y - 12, x + 13, y + 13))
        for row in range(max(top, 0), min(bottom, height)):
            for column in range(max(left, 0), min(right, width)):
                squared = (row - top - 12) ** 2 + (column - left - 12) ** 2
                drawn[joint, row, column] = math.exp(-squared / 32)
    first = F.interpolate(drawn[None], size=features.shape[2:], mode="bilinear")[0]
    found = plain_propagation(features, first, protocol)[1:]
    maps = torch.cat([drawn[None], F.interpolate(found, size=clip.size, mode="bilinear")])
    points = torch.full((clip.num_frames, 15, 2), -1.0)
    for t, joint in np.ndindex(clip.num_frames, 15):
        values, places = maps[t, joint].flatten().topk(5)
        if values[0] > 0:
            x, y = (places % width * values).sum(), (places // width * values).sum()
            points[t, joint] = torch.stack([x, y]) / values.sum()
    return points


def test_joints_and_scores_are_those_of_the_plain_chain(root, tmp_path):
    extractor = build_feature_extractor("raw_colour", stride=8)
    benchmark = JhmdbBenchmark(root, changes=SMALL)
    scores = benchmark.evaluate(extractor, tmp_path).scores
    metric = PCK()
    for clip in Jhmdb(root):
        plain = plain_joints(clip, extractor, benchmark.protocol)
        distance = (read_joints(tmp_path, clip) - plain).abs().amax(2)
        assert (distance < 0.01).float().mean() > 0.95  # pixels of nearly equal weight may be chosen otherwise
        metric.update(plain, clip.points, name=clip.name)
    assert scores == pytest.approx(metric.compute(), abs=0.02)
    assert 0.1 < scores["PCK@0.1"] < scores["PCK@0.5"] <= 1
