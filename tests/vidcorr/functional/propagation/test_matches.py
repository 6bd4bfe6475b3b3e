"""Affinity of single cells: the weights of the propagation itself, and those without the prior."""

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.functional import propagate_labels
from vidcorr.functional.propagation.matches import affinity_of_cells
from vidcorr.protocols import PropagationProtocol

POINTS = torch.tensor([[0, 0], [3, 4], [6, 8], [2, 7]])
PLAIN = {"normalise_labels": False, "foreground_gain": 1.0, "label_feedback": "soft"}


def protocol_of(name):
    rules = PropagationProtocol.named(name)
    smaller = {} if rules.radius is None else {"radius": 3, "radius_unit": "cell"}
    return rules.with_changes(**smaller, **PLAIN)


@pytest.mark.sampled(5, 3)
@pytest.mark.parametrize("name", PropagationProtocol.sources())
@pytest.mark.usefixtures("each_search")
def test_the_weighted_labels_of_the_cells_are_what_is_propagated(name):
    """Under every named protocol, in frames with and without a whole window; the mixture of Liir included."""
    protocol = protocol_of(name)
    features, first = torch.randn(9, 8, 7, 9), torch.rand(3, 7, 9)
    labels = torch.stack(list(propagate_labels(features, first, protocol)))
    for frame in (1, 3, 8):
        expected = labels[frame][:, POINTS[:, 0], POINTS[:, 1]].T
        affinity = affinity_of_cells(features[: frame + 1], POINTS, protocol)
        average = torch.einsum("nrhw,rlhw->nl", affinity.weights, labels[affinity.frames])
        torch.testing.assert_close(average, expected, atol=1e-5, rtol=1e-4)


def test_points_beyond_the_map_are_refused():
    features, rules = torch.randn(2, 5, 7, 9), protocol_of("vfs")
    message = "2 frames or more and cells on the map"
    for video, point in ((features[:1], (0, 0)), (features, (-1, 0)), (features, (0, 9))):
        refused(ValueError, message, affinity_of_cells, video, torch.tensor([point]), rules)
