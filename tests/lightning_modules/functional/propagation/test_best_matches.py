"""The best matches, exactly, in any workspace."""

from typing import Any

import pytest
import torch

from lightning_modules.functional import (
    LabelPropagator,
    PropagationProtocol,
)
from lightning_modules.functional.propagation.tiles import tiles
from tests.helpers.memory import peak_of
from tests.helpers.propagation import MEMORY, one_hot, protocol, run, video


@pytest.mark.parametrize(
    "fields",
    [{}, {"topk": None}, {"radius": None}, {"first_frame_masked": False}, {"neighbourhood": "square", "radius": 1}],
)
def test_no_result_depends_on_the_workspace(fields: dict[str, Any]) -> None:
    of = protocol(**fields)
    features, labels = video(), one_hot(3)
    whole = run(features, labels, of)
    for workspace in (1, 5_000, 50_000):
        propagator = LabelPropagator(labels, of, workspace)
        parts = torch.stack([propagator.step(frame) for frame in features])
        torch.testing.assert_close(parts, whole, atol=2e-6, rtol=0)


def test_the_work_grows_with_the_map_and_not_with_its_square() -> None:
    def products_per_place(height: int, width: int) -> float:
        return sum(t.products for t in tiles(height, width, 11, 21, 2**24, slide=True)) / (height * width)

    assert products_per_place(120, 214) < 1.3 * products_per_place(60, 107)
    assert products_per_place(240, 428) < 1.3 * products_per_place(120, 214)


@pytest.mark.parametrize("of", MEMORY)
def test_a_smaller_workspace_takes_less_memory_and_changes_nothing(of: PropagationProtocol) -> None:
    features, labels = video(3, 24, 40, 54), one_hot(5, 40, 54)

    def propagate(workspace: int) -> torch.Tensor:
        propagator = LabelPropagator(labels, of, workspace)
        return torch.stack([propagator.step(frame) for frame in features])

    small, large = 2**16, 2**24
    assert peak_of(lambda: propagate(small)) < 0.95 * peak_of(lambda: propagate(large))
    torch.testing.assert_close(propagate(small), propagate(large), atol=1e-5, rtol=0)
