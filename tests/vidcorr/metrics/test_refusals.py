"""Shapes that would broadcast, and ids and frames that would count from behind, are refused."""

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.metrics import PointQueries, box_iou, class_areas
from vidcorr.metrics.parts import match_instances

IDS = np.ones((3, 4, 4), np.int64)
TRACKS, HIDDEN = np.zeros((2, 5, 2)), np.zeros((2, 5), bool)
QUERIES = PointQueries(np.zeros((2, 3)), TRACKS, HIDDEN, np.arange(2))


@pytest.mark.parametrize(
    ("message", "function", "arguments"),
    [
        ("prediction is", class_areas, (IDS, IDS[:1])),
        ("target must hold classes 0 to 19", class_areas, (IDS, 20 * IDS)),
        ("instance ids must not be negative", match_instances, (-IDS[0], IDS[0], {1: 1}, {1: 1.0})),
        (r"boxes must be \(N, 4\)", box_iou, (np.ones((3, 4)), np.ones((1, 4)))),
        ("queries must lie in frames 0 to 4", PointQueries, (np.full((2, 3), -1), TRACKS, HIDDEN, np.arange(2))),
        ("expected tracks", QUERIES.check, (TRACKS[:, :1], HIDDEN)),
        ("query_mode must be one of", QUERIES.scored, ("last",)),
    ],
)
def test_arguments_that_do_not_fit_are_refused(message, function, arguments):
    refused(ValueError, message, function, *arguments)
