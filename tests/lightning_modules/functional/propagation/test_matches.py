"""Matched cells carry the very weights that the propagation averages labels with."""

import pytest
import torch

from lightning_modules.functional import PropagationProtocol, propagate_labels
from lightning_modules.functional.propagation.references import matches_of_cells

NAMES = ["vfs", "crw", "dino", "liir", "liir-reference"]


def small(name: str) -> PropagationProtocol:
    changes = {"mixture_components": None, "normalise_labels": False, "foreground_gain": 1.0, "label_feedback": "soft"}
    return PropagationProtocol.named(name).with_changes(radius=3, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_weighted_labels_of_the_places_are_what_is_propagated(name: str) -> None:
    protocol = small(name)
    features, first = torch.randn(6, 8, 7, 9), torch.rand(3, 7, 9)
    labels = torch.stack(list(propagate_labels(features, first, protocol)))
    points = torch.tensor([[0, 0], [3, 4], [6, 8], [2, 7]])
    for frame in (1, 3, 5):
        matches = matches_of_cells(features, points, protocol, frame, count=10**6)
        cells = matches.cells.unbind(2)
        found = labels.movedim(1, -1)[matches.frames, cells[0], cells[1]]
        expected = labels[frame][:, points[:, 0], points[:, 1]].T
        torch.testing.assert_close((matches.weights[..., None] * found).sum(1), expected, atol=1e-5, rtol=1e-4)


def test_a_moved_picture_is_found_where_it_went() -> None:
    picture = torch.randn(1, 16, 12, 12)
    features = torch.cat([picture, picture.roll((2, -1), (2, 3))])
    protocol = PropagationProtocol.named("vfs").with_changes(radius=4, temperature=0.01)
    matches = matches_of_cells(features, torch.tensor([[6, 5], [8, 3]]), protocol, count=1)
    assert matches.cells.squeeze(1).tolist() == [[4, 6], [6, 4]]
    assert matches.frames.flatten().tolist() == [0, 0]
