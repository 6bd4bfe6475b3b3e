"""Attention in tiles: no result depends on them, every query is in one, and they are planned once."""

from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.functional import LabelPropagator, PropagationProtocol
from lightning_modules.functional.propagation.references import MatchFinder
from lightning_modules.functional.propagation.tiles import Neighbourhood, tiles
from tests.helpers.memory import peak_of
from tests.helpers.propagation import MEMORY, one_hot, protocol, run, video

pytestmark = pytest.mark.usefixtures("torch_search")


@pytest.mark.parametrize(
    "fields",
    [{}, {"topk": None}, {"radius": None}, {"first_frame_masked": False}, {"neighbourhood": "square", "radius": 1}],
)
def test_no_result_depends_on_the_workspace_or_the_library(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = protocol(**fields)
    features, labels = video(), one_hot(3)
    whole = run(features, labels, of)
    for workspace in (1, 5_000, 50_000):
        propagator = LabelPropagator(labels, of, MatchFinder([of], workspace))
        parts = torch.stack([propagator.step(frame) for frame in features])
        torch.testing.assert_close(parts, whole, atol=2e-6, rtol=0)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.testing.assert_close(run(features, labels, of), whole, atol=2e-6, rtol=0)


def test_the_work_grows_with_the_map_and_not_with_its_square() -> None:
    def products_per_place(height: int, width: int) -> float:
        return sum(t.products for t in tiles(height, width, 11, 21, 2**24, slide=True)) / (height * width)

    assert products_per_place(120, 214) < 1.3 * products_per_place(60, 107)
    assert products_per_place(240, 428) < 1.3 * products_per_place(120, 214)


@pytest.mark.slow
@pytest.mark.parametrize("of", MEMORY)
def test_a_smaller_workspace_takes_less_memory_and_changes_nothing(of: PropagationProtocol) -> None:
    features, labels = video(3, 24, 40, 54), one_hot(5, 40, 54)

    def propagate(workspace: int) -> torch.Tensor:
        propagator = LabelPropagator(labels, of, MatchFinder([of], workspace))
        return torch.stack([propagator.step(frame) for frame in features])

    small, large = 2**16, 2**24
    assert peak_of(lambda: propagate(small)) < 0.95 * peak_of(lambda: propagate(large))
    torch.testing.assert_close(propagate(small), propagate(large), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(9, 13), (1, 40), (30, 5)])
@pytest.mark.parametrize(("reach", "slide"), [(None, False), (0, True), (5, True), (5, False)])
def test_every_query_is_in_one_tile_and_its_neighbours_are_among_the_keys(
    size: tuple[int, int], reach: int | None, slide: bool
) -> None:
    for budget in (1, 2000, 10**9):
        covered = np.zeros(size, int)
        for tile in tiles(*size, reach, 3, budget, slide):
            covered[tile.query_slices] += 1
            rows, columns = tile.keys
            if reach is None:
                assert (len(rows), len(columns)) == size
            else:
                assert rows.start == max(tile.at[0].start - reach, 0)
                assert columns.stop == min(tile.at[1].stop + reach, size[1])
            single = len(tile.at[0]) == len(tile.at[1]) == 1
            assert single or 3 * tile.products <= budget
        assert (covered == 1).all()


@pytest.mark.parametrize("shape", ["circle", "disc", "square"])
def test_a_neighbourhood_is_what_its_name_says(shape: Any) -> None:
    for radius in (0.5, 1, 2.5, 4):
        neighbourhood = Neighbourhood(radius, shape)
        reach = neighbourhood.reach
        found = {(int(dy) - reach, int(dx) - reach) for dy, dx in np.argwhere(neighbourhood.kept)}
        inside = {
            "circle": lambda dy, dx: np.hypot(dy, dx) < radius,  # noqa: B023
            "disc": lambda dy, dx: np.hypot(dy, dx) <= radius,  # noqa: B023
            "square": lambda dy, dx: max(abs(dy), abs(dx)) <= radius,  # noqa: B023
        }[shape]
        assert found == {(dy, dx) for dy in range(-6, 7) for dx in range(-6, 7) if inside(dy, dx)}
