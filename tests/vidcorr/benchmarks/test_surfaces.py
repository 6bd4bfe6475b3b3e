"""NAVI and ScanNet-1500: the scores of OmniProbe's scripts, and facts that need no weights.

Also tests `benchmarks/navi.py`, `metrics/surfaces.py`.
"""

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.references import GOLDEN, golden
from vidcorr import NaviBenchmark, Row, ScanNetBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.benchmarks.navi import match_views, padded
from vidcorr.datasets.navi import View
from vidcorr.protocols import SurfaceProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder

SETS = {
    "navi": (NaviBenchmark, "reader_navi/navi_v1", "rd_pairs"),
    "scannet": (ScanNetBenchmark, "reader_scannet/scannet_test_1500", "rd_names"),
}


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_scores_are_those_of_the_scripts(name, count):
    """By a network that gives the stored features of a pair."""
    kind, folder, key = SETS[name]
    case, stored = golden(f"pairs3d/{name}"), []
    places = {}
    for number, pair in enumerate(case[key].tolist()):
        room, *pictures = pair if name == "navi" else (f"scene{pair[0]:04d}_{pair[1]:02d}", *pair[2:])
        places[room, "-".join(map(str, pictures))] = number

    class Known(kind):
        def match(self, pair, encoder):
            stored[:] = [case[f"p{places[pair.category, pair.name]}_feats{which}"] for which in (1, 0)]
            return super().match(pair, encoder)

    network = nn.AvgPool2d(16)
    network.register_forward_hook(lambda *_: torch.from_numpy(stored.pop())[None])
    benchmark = Known(GOLDEN / "pairs3d" / folder, changes={"matches": int(case[f"c{count}_num_corr"])})
    scores = [100 * score for score in benchmark.evaluate(network).scores.values()]
    keys = ("recall3d", "recall2d", "bins") if name == "navi" else ("recall2d", "bins", "degrees")
    expected = np.concatenate([case[f"c{count}_{key}"] for key in keys])
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_rotations_of_the_1500_pairs_need_no_network():
    angles = golden("pairs3d/scannet")["list1500_angle"]
    rows = []
    for number, angle in enumerate(angles.tolist()):
        rows.append(Row(video="all", object=str(number), counts={"correct": [1, 1, 1], "matches": 2, "angle": angle}))
    benchmark = ScanNetBenchmark("nowhere")
    scores = benchmark.scores(rows)
    assert [round(100 * scores[f"rotation@{degrees}deg"], 2) for degrees in (5, 15, 45)] == [2.13, 31.87, 82.0]
    assert list(benchmark.facts(rows, None)["pairs_by_angle"].values()) == [478, 514, 360, 148]
    assert scores["recall@5px"] == scores["recall@10px-60-180"] == 0.5


def test_sides_that_are_no_multiple_of_a_patch_are_padded():
    seen, patches = [], nn.AvgPool2d(14)
    patches.multiple = patches.stride = 14
    patches.register_forward_pre_hook(lambda module, images: seen.append(images[0][0]))
    rules = SurfaceProtocol.named("omniprobe", "navi", changes={"input_size": (20, 20)})
    encoder = FrameEncoder(build_feature_extractor(patches), rules)
    depth = torch.ones(3, 5, 5)
    view = View(torch.full((3, 20, 20), 255, dtype=torch.uint8), depth, torch.eye(3, dtype=torch.float64))
    with pytest.warns(UserWarning, match="scores are chance"):
        match_views(encoder, [view, view])
    torch.testing.assert_close(seen[-1], padded(view.image, encoder))
    assert seen[-1].shape[1:] == (28, 28)
