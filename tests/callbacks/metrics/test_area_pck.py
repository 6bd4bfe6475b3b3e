"""PCK by the object's area against a loop over frames and points."""

import numpy as np
import pytest

from callbacks.metrics import AreaPCK, area_counts


def made(seed, tracks=6, frames=7):
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 60, (tracks, frames, 2))
    places = truth + generator.normal(0, 4, truth.shape)
    hidden = generator.random((tracks, frames)) < 0.3
    queries = np.column_stack([generator.integers(0, frames, tracks), truth[:, 0, ::-1]])
    return queries, hidden, truth, places, generator.uniform(50, 1500, frames)


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_equal_to_a_loop(mode):
    queries, hidden, truth, places, areas = made(0)
    found = []
    for n in range(len(queries)):
        for t in range(hidden.shape[1]):
            scored = t > queries[n, 0] if mode == "first" else t != queries[n, 0]
            if scored and not hidden[n, t]:
                found.append(np.hypot(*(places[n, t] - truth[n, t])) < 0.2 * areas[t] ** 0.5)
    assert 0 < sum(found) < len(found)
    assert area_counts(queries, hidden, truth, places, areas, mode) == (sum(found), len(found))


def test_the_mean_over_videos_leaves_out_what_has_no_point():
    metric = AreaPCK()
    for name, seed in (("a", 1), ("b", 2)):
        metric.update(*made(seed), name=name)
    queries, hidden, *rest = made(3)
    metric.update(queries, np.ones_like(hidden), *rest, name="c")
    of_video = [correct / counted for correct, counted in (area_counts(*made(seed)) for seed in (1, 2))]
    assert metric.compute() == {"PCK@0.2": sum(of_video) / 2}
    assert np.isnan(metric.rows()[2]["PCK@0.2"])


def test_the_distance_is_strictly_below_and_nan_is_never_correct():
    queries, hidden = np.array([[0, 0, 0]]), np.zeros((1, 3), bool)
    truth = np.zeros((1, 3, 2))
    places = np.array([[[0, 0], [2.0, 0], [1.999, 0]]])
    assert area_counts(queries, hidden, truth, places, np.full(3, 100.0)) == (1, 2)
    assert area_counts(queries, hidden, truth, places * np.nan, np.full(3, 100.0)) == (0, 2)
