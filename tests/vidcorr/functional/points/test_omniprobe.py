"""`omniprobe` against OmniProbe's own numbers (tests/golden/omniprobe)."""

import numpy as np
import pytest
import torch

from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.functional import track_points
from vidcorr.functional.propagation.coding import fit_input
from vidcorr.functional.propagation.resizing import truncated_resize
from vidcorr.metrics import tapvid_metrics
from vidcorr.metrics.point_tracking import sample_queries
from vidcorr.protocols import PointProtocol

RULES = PointProtocol.named("omniprobe")
CASES = ["c0", "c1", "c2", "c3", "tie"]


@pytest.mark.parametrize("case", CASES)
def test_queries_tracks_and_scores_are_its_own(golden, case):
    arrays = golden("omniprobe/tapvid")
    names = arrays["metric_names"].tolist()
    found = []
    mode, stride = str(arrays[f"{case}_query_mode"]), int(arrays[f"{case}_query_stride"])
    rules = RULES.with_changes(query_mode=mode, query_stride=stride)
    for number in range(int(arrays[f"{case}_videos"])):
        prefix = f"{case}_v{number}_"
        video = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        points = video["points"].astype(np.float32) * np.float32(256)
        queries = sample_queries(video["occluded"], points, mode, stride)
        np.testing.assert_allclose(queries.points, video["queries"], atol=1e-4)
        features = torch.from_numpy(video["feats"].astype(np.float32))
        tracks = track_points(features.__getitem__, len(features), torch.from_numpy(video["queries"]), rules)
        others = np.arange(len(features)) != video["queries"][:, :1]  # a query's own frame is known, and not scored
        np.testing.assert_allclose(tracks.points.numpy()[others], video["tracks"][others], atol=1e-3)
        assert not tracks.occluded.any()
        truth = video["queries"], video["gt_occluded"], video["gt_tracks"]
        scores = tapvid_metrics(*truth, tracks.occluded.numpy(), tracks.points.numpy(), mode)
        for name, value in zip(names, video["metrics"], strict=True):
            np.testing.assert_allclose(scores[name], value, atol=1e-9)
        found.append(scores)
    of_page = {"AJ": "average_jaccard", "delta": "average_pts_within_thresh", "OA": "occlusion_accuracy"}
    for name, mean in zip(arrays["mean_names"].tolist(), arrays[f"{case}_mean"], strict=True):
        if name in of_page:
            np.testing.assert_allclose(100 * np.mean([scores[of_page[name]] for scores in found]), mean, atol=1e-6)


@pytest.mark.parametrize("name", ["in0", "in1", "in2", "in3"])
def test_the_network_sees_what_it_sees_there(golden, name):
    arrays = golden("omniprobe/inputs")
    frames = torch.from_numpy(arrays[f"{name}_video"]).permute(0, 3, 1, 2)
    first = torch.stack([truncated_resize(frame, RULES.first_size) for frame in frames])
    difference = first.permute(0, 2, 3, 1)[:, ::5, ::5].int() - torch.from_numpy(arrays[f"{name}_u8_s5"]).int()
    assert difference.abs().max() <= 1
    assert (difference != 0).float().mean() <= 1e-3
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    seen = ((fit_input(first, RULES) - mean) / std).double()
    assert list(seen.shape) == arrays[f"{name}_net_shape"].tolist()
    np.testing.assert_allclose(seen[:, :, ::14, ::14], arrays[f"{name}_net_s14"], atol=2e-4)
    np.testing.assert_allclose(seen.mean((2, 3)), arrays[f"{name}_net_mean"], atol=1e-4)
    np.testing.assert_allclose(seen.std((2, 3), correction=0), arrays[f"{name}_net_std"], atol=1e-4)
