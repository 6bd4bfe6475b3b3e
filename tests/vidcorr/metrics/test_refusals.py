"""Shapes that would broadcast, ids and frames that would count from behind, and means of nothing are refused."""

import math

import numpy as np
import pytest

from tests.helpers.benchmark_data import arguments_of, benchmark_classes
from tests.helpers.refusal import refused
from vidcorr import Row, metrics
from vidcorr.metrics.parts import match_instances
from vidcorr.videos.files import DataError


def test_arguments_that_do_not_fit_are_refused():
    ids, tracks, hidden = np.ones((3, 4, 4), np.int64), np.zeros((2, 5, 2)), np.zeros((2, 5), bool)
    refused(ValueError, "prediction is", metrics.class_areas, ids, ids[:1])
    refused(ValueError, "target must hold classes 0 to 19", metrics.class_areas, ids, 20 * ids)
    refused(ValueError, "ids must not be negative", match_instances, -ids[0], ids[0], {1: 1}, {1: 1.0})
    refused(ValueError, "instance 1 has no score", match_instances, ids[0], ids[0], {1: 1}, {})
    refused(ValueError, r"integers \(H, W\)", match_instances, 1.0 * ids[0], 1.0 * ids[0], {1: 1}, {1: 1.0})
    refused(ValueError, "class 25 is no part", match_instances, ids[0], ids[0], {1: 25}, {1: 1.0})
    for measure in (metrics.region_similarity, metrics.boundary_accuracy):
        refused(ValueError, "integers 0 and 1", measure, 1.0 * ids, 1.0 * ids)
        refused(ValueError, "integers 0 and 1", measure, 255 * ids, 0 * ids)
        assert measure(ids[:0] > 0, ids[:0] > 0).shape == (0,)
    refused(ValueError, r"boxes must be \(N, 4\)", metrics.box_iou, np.ones((3, 4)), np.ones((1, 4)))
    refused(ValueError, "a sequence needs a frame", metrics.TrackingSuccess().update, *np.ones((2, 0, 4)))
    update = metrics.RegionBoundary().update
    for masks in (ids[0], ids[None], 0.9 * ids):
        refused(ValueError, r"masks must be ids \(T, H, W\)", update, masks, masks)
    refused(ValueError, "masks of 0 and 255 have no object", update, 255 * ids, ids)
    refused(ValueError, "masks of 0 and 255 have no object", update, ids, 255 * ids)
    early = np.full((2, 3), -1)
    refused(ValueError, "in frames 0 to 4", metrics.PointQueries, early, tracks, hidden, np.arange(2))
    queries = metrics.PointQueries(np.zeros((2, 3)), tracks, hidden, np.arange(2))
    shapes = r"\(2, 5, 2\) and \(2, 5\) bool; got \(2, 1, 2\) and \(2, 5\) bool"
    refused(ValueError, f"expected tracks .*{shapes}", queries.check, tracks[:, :1], hidden)
    refused(ValueError, "query_mode must be one of", queries.scored, "last")
    refused(ValueError, r"joints must be \(T, K, 2\)", metrics.PCK().update, tracks, tracks[:1])
    refused(ValueError, "counting must be one of", metrics.keypoint_distances, tracks, tracks, "vfs")
    refused(ValueError, "needs the image's size", metrics.keypoint_distances, tracks, tracks, "ground-truth")


@pytest.mark.parametrize("kind", benchmark_classes(), ids=lambda kind: kind.__name__)
def test_a_result_of_means_over_no_scored_frame_is_refused(kind, tmp_path, monkeypatch):
    benchmark = kind(**arguments_of(kind, tmp_path))
    undefined = dict.fromkeys(benchmark.score_names, math.nan)
    monkeypatch.setattr(kind, "score", lambda self, sequence, encoder, output: [Row(video=sequence.name)])
    monkeypatch.setattr(kind, "scores", lambda self, rows: undefined)
    monkeypatch.setattr(kind, "facts", lambda self, rows, encoder: {"year": 2017, "pairs": 0})
    refused(DataError, f"{benchmark.name}: no frame counts for ", benchmark.evaluate, "raw_colour")
