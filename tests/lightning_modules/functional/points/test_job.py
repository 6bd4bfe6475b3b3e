"""State of the queries of one video."""

import pytest
import torch

from lightning_modules.functional.points import PointProtocol
from lightning_modules.functional.points.job import TrackingJob

QUERIES = torch.tensor([[0.0, 12.0, 20.0], [2.0, 4.0, 60.0]])


def job(features: torch.Tensor, both_directions: bool = True) -> TrackingJob:
    rules = PointProtocol.named("fomo", "tap_vid").with_changes(scored_size=64)
    return TrackingJob(features.__getitem__, len(features), QUERIES, (64.0, 64.0), rules, both_directions)


def test_places_begin_at_the_queries_and_queries_need_all_other_frames() -> None:
    features = torch.randn(4, 8, 8, 16)
    both, forward = job(features), job(features, both_directions=False)
    assert both.positions[:, 3].tolist() == [[20, 12], [60, 4]]  # x, y
    assert [both.needs(t).tolist() for t in range(4)] == [[1], [0, 1], [0], [0, 1]]
    assert [forward.needs(t).tolist() for t in range(4)] == [[], [0], [0], [0, 1]]


def test_cells_are_pixels_divided_by_the_size_of_a_cell() -> None:
    features = torch.randn(1, 8, 8, 16)
    state = job(features)
    positions = torch.tensor([[20.0, 12.0], [60.0, 4.0]])
    assert state.to_cells(positions, features[0]).tolist() == [[5, 1.5], [15, 0.5]]
    torch.testing.assert_close(state.to_pixels(state.to_cells(positions, features[0]), features[0]), positions.double())


def test_a_descriptor_is_found_where_it_was_taken_and_tracking_back_misses_by_the_distance() -> None:
    features = torch.randn(2, 32, 8, 16)
    state, centres = job(features), torch.tensor([[22.0, 12.0], [58.0, 4.0]])  # of cells of 4 × 8 px
    taken = state.sample(features[0], centres)
    torch.testing.assert_close(state.to_pixels(state.match(taken, features[0]), features[0]), centres.double())
    state.compare(torch.arange(2), 1, taken, taken)
    assert state.similarity[:, 1].tolist() == pytest.approx([1, 1])
    state.track_back(torch.arange(2), 1, taken, features[0])
    torch.testing.assert_close(state.misses[:, 1], torch.tensor([2.0, 2.0]))  # the queries lie 2 px beside the centres
