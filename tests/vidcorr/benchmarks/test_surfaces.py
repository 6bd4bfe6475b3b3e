"""NAVI and ScanNet-1500: the scores of OmniProbe's scripts, and facts that need no weights.

Also tests `benchmarks/navi.py`, `metrics/surfaces.py`.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.references import GOLDEN, golden
from vidcorr import NaviBenchmark, Result, Row, ScanNetBenchmark
from vidcorr.backbones.extractor import IMAGENET_MEAN, Normalise
from vidcorr.benchmarks.navi import padded
from vidcorr.datasets.generated import write_navi, write_scannet
from vidcorr.metrics.surfaces import surface_scores
from vidcorr.protocols import SurfaceProtocol

SETS = {
    "navi": (NaviBenchmark, "reader_navi/navi_v1", "rd_pairs"),
    "scannet": (ScanNetBenchmark, "reader_scannet/scannet_test_1500", "rd_names"),
}


class Stored(nn.Module):
    """Hands out the stored features of the pairs."""

    stage, stride = "stored", 16

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return next(self.maps)[None]


def stored(name, benchmark):
    """Return the features of the pairs, in the order in which a benchmark meets them: longer sequences first."""
    case = golden(f"pairs3d/{name}")
    pairs = case[SETS[name][2]].tolist()
    names = [pair[1:] if name == "navi" else pair[2:] for pair in pairs]
    rooms = [pair[0] if name == "navi" else f"scene{pair[0]:04d}_{pair[1]:02d}" for pair in pairs]
    index = {(room, "-".join(map(str, pair))): k for k, (room, pair) in enumerate(zip(rooms, names, strict=True))}
    for sequence in sorted(benchmark.sequences, key=lambda sequence: -sequence.num_frames):
        for pair in sequence.pairs:
            for v in (0, 1):
                yield torch.from_numpy(case[f"p{index[pair.category, pair.name]}_feats{v}"])


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_scores_are_those_of_the_scripts(name, count):
    kind, folder, _ = SETS[name]
    case = golden(f"pairs3d/{name}")
    benchmark = kind(GOLDEN / "pairs3d" / folder, changes={"matches": int(case[f"c{count}_num_corr"])})
    scores = [100 * score for score in benchmark.evaluate(Stored(stored(name, benchmark))).scores.values()]
    keys = ("recall3d", "recall2d", "bins") if name == "navi" else ("recall2d", "bins", "degrees")
    expected = np.concatenate([case[f"c{count}_{key}"] for key in keys])
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.slow
def test_scannets_pixels_are_those_of_its_grid():
    """With pixels of the picture, the recalls would be these."""
    benchmark = ScanNetBenchmark(GOLDEN / "pairs3d" / SETS["scannet"][1], changes={"pixel": "input"})
    scores = benchmark.evaluate(Stored(stored("scannet", benchmark))).scores
    found = [round(100 * scores[f"recall@{pixels}px"], 1) for pixels in (5, 10, 20)]
    assert found == [8.3, 26.8, 59.6]


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


def test_pairs_count_by_their_matches_and_bins_by_their_pairs():
    protocol = SurfaceProtocol.named("omniprobe", "navi")
    pairs = [
        {"correct": [1, 2, 3, 0, 0, 0], "matches": 4, "angle": 10.0},
        {"correct": [0, 1, 1, 0, 0, 0], "matches": 1, "angle": 29.0},
        {"correct": [0, 0, 0, 0, 0, 0], "matches": 0, "angle": 20.0},
        {"correct": [9, 9, 9, 9, 9, 9], "matches": 9, "angle": float("nan")},
    ]
    scores = surface_scores(pairs, protocol)
    assert scores["recall@2cm"] == 12 / 14
    assert scores["recall@2cm-0-30"] == (2 / 4 + 1) / 2
    assert np.isnan(scores["recall@2cm-30-60"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "write", "middle", "reach"),
    [(NaviBenchmark, write_navi, (0, 0, 0.4), 0.1), (ScanNetBenchmark, write_scannet, (0, 0, 0), 8)],
)
def test_true_positions_as_features_score_100(kind, write, middle, reach, tmp_path):
    """On a sphere, where the nearest position has the largest cosine."""
    known = []

    class Known(kind):
        name = kind.name

        def view(self, pair, which):
            view = super().view(pair, which)
            pose = torch.from_numpy(pair.pose if which else np.eye(4)).inverse().float()
            places = pose[:3, :3] @ view.points.flatten(1) + pose[:3, 3:]
            places = (places - torch.tensor(middle)[:, None]) / reach
            height = (1 - places.square().sum(0, keepdim=True)).clamp(min=0).sqrt()
            known.append(torch.cat([places, height]).unflatten(1, view.points.shape[1:]))
            return view

    network = Stored(iter(known))
    network.stride = 4
    result = Known(write(tmp_path / "set", 1)).evaluate(network, tmp_path / "out")
    scores = {key: score for key, score in result.scores.items() if "recall" in key and not np.isnan(score)}
    assert set(scores.values()) == {1.0}
    assert Result.load(tmp_path / "out") == result
    assert list((tmp_path / "out" / "animations").glob("*.webp"))
    assert "recall" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_sides_that_are_no_multiple_of_a_patch_are_padded(tmp_path):
    seen, patches = [], nn.AvgPool2d(14)
    patches.multiple = 14
    patches.register_forward_pre_hook(lambda module, images: seen.append(images[0].shape[2:]))
    NaviBenchmark(write_navi(tmp_path / "set", 1, frames=3)).evaluate(patches)
    assert set(seen) == {(518, 518)}


@pytest.mark.parametrize("rgb_mean", [None, (0.1, 0.2, 0.3)])
def test_padding_is_half_on_each_side_in_the_colour_of_zero(rgb_mean):
    protocol = SimpleNamespace(rgb_mean=rgb_mean)
    encoder = SimpleNamespace(multiple=14, extractor=nn.Sequential(Normalise()), protocol=protocol)
    image = torch.full((3, 25, 39), 255, dtype=torch.uint8)
    found = padded(image, encoder)
    colour = torch.tensor(rgb_mean or IMAGENET_MEAN)[:, None, None]
    expected = colour.expand(3, 28, 42).clone()
    expected[:, 1:26, 1:40] = 1
    torch.testing.assert_close(found, expected)
    whole = image[:, :14, :28]
    assert padded(whole, encoder) is whole
