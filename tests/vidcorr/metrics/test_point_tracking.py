"""TAP-Vid's metrics and samplers against the official codes' numbers, to the last digit."""

import numpy as np
import pytest
import torch

from vidcorr.metrics import PointQueries, sample_queries, tapvid_metrics
from vidcorr.metrics.point_tracking import METRICS, tapvid_counts, video_fractions

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
"""A division by zero is meant, and told to nobody."""

PIXELS = ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0))
INPUTS = ("query_points", "gt_occluded", "gt_tracks", "pred_occluded", "pred_tracks")


@pytest.fixture(scope="module")
def official(golden):
    return golden("tap_vid/metrics")


def test_every_case_of_the_official_code_to_the_last_digit(official):
    checked = 0
    for case in official["cases"]:
        inputs = [official[f"{case}/{name}"] for name in INPUTS]
        for mode in ("first", "strided"):
            for number, video in enumerate(zip(*inputs, strict=True)):
                found = tapvid_metrics(*video, query_mode=mode)
                points, hidden, truth, *predicted = video
                queries = PointQueries(points, truth, hidden, np.arange(len(points)))
                counts = tapvid_counts(queries, *map(torch.from_numpy, predicted), query_mode=mode)
                tracks = [video_fractions(of_track) for of_track in counts]
                assert tuple(found) == METRICS
                for key in METRICS:
                    expected = official[f"{case}/{mode}/video/{key}"][number]
                    np.testing.assert_array_equal(found[key], expected, f"{case} {mode} {key}")
                    expected = official[f"{case}/{mode}/track/{key}"][number]
                    of_tracks = [of_track[key] for of_track in tracks]
                    np.testing.assert_array_equal(of_tracks, expected, f"{case} {mode} {key}")
                    checked += 1
    assert checked > 700


def test_both_samplers_equal_the_official_ones(official):
    compared = 0
    for name in official["samplers"]:
        occluded, points = (official[f"sampler/{name}/target_{kind}"] for kind in ("occluded", "points"))
        ways = {key.split("/")[2] for key in official if key.startswith(f"sampler/{name}/") and key.count("/") == 3}
        for way in ways:
            if f"sampler/{name}/{way}/error" in official:
                assert len(sample_queries(occluded, points, "first")) == 0
                continue
            stride = int(way.removeprefix("strided") or 5) if way != "first" else 5
            queries = sample_queries(occluded, points, "first" if way == "first" else "strided", stride)
            own = {"query_points": queries.points, "target_points": queries.tracks, "occluded": queries.occluded}
            for key, value in (own | {"trackgroup": queries.track}).items():
                if (path := f"sampler/{name}/{way}/{key}") in official:
                    np.testing.assert_array_equal(official[path][0], value)
                    assert official[path].dtype == value.dtype
                    compared += 1
    assert compared >= 20
