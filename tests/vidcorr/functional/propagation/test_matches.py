"""Affinity of single cells: the weights of the propagation itself, and those of Liir's equations."""

import pytest
import torch

from vidcorr.functional import compact_affinity, local_affinity, propagate_labels
from vidcorr.functional.propagation.matches import affinity_of_cells
from vidcorr.protocols import PropagationProtocol

POINTS = torch.tensor([[0, 0], [3, 4], [6, 8], [2, 7]])
PLAIN = {"normalise_labels": False, "foreground_gain": 1.0, "label_feedback": "soft"}


def protocol_of(name, **changes):
    rules = PropagationProtocol.named(name)
    smaller = {} if rules.radius is None else {"radius": 3}
    return rules.with_changes(**smaller, **PLAIN, **changes)


@pytest.mark.sampled(5)
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


@pytest.mark.parametrize("border", ["exclude", "zero"])
def test_the_prior_is_that_of_equation_7(border):
    """The heat map with the prior is the mixture of the heat map without it, in windows with a weight above 0.1."""
    protocol = protocol_of("liir", border=border, references=(0, -1))
    features = torch.randn(4, 5, 7, 9)
    softmax = local_affinity(features[3:], features[None, [0, 2]], 3, border)
    for prior, expected in ((False, softmax), (True, compact_affinity(softmax, 3, 2, 0.1))):
        found = affinity_of_cells(features, POINTS, protocol, prior)
        assert found.frames == [0, 2]
        for number, (y, x) in enumerate(POINTS.tolist()):
            windows = expected[0, :, y, x].view(2, 7, 7)
            whole = torch.zeros(2, 7 + 6, 9 + 6)
            whole[:, y : y + 7, x : x + 7] = windows
            torch.testing.assert_close(found.weights[number], whole[:, 3:-3, 3:-3], atol=1e-6, rtol=1e-4)
