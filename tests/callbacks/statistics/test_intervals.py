"""Bootstrap intervals and paired tests against brute force and known distributions."""

from itertools import product

import numpy as np
import pytest

from callbacks.statistics.intervals import bootstrap_interval, paired_difference


def test_interval_of_equal_scores_has_no_width() -> None:
    low, high = bootstrap_interval([[0.5], [0.5, 0.5], [0.5]])
    assert (low, high) == pytest.approx((0.5, 0.5))


def test_interval_of_few_sequences_equals_the_enumerated_distribution() -> None:
    groups = [[0.2, 0.4], [0.9], [0.5, 0.1, 0.3]]
    means = [np.mean([score for number in drawn for score in groups[number]]) for drawn in product(range(3), repeat=3)]
    expected = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    found = bootstrap_interval(groups, resamples=200_000)
    assert found == pytest.approx(expected, abs=1e-9)


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        scores = generator.normal(0.6, 0.1, size=(40, 1))
        low, high = bootstrap_interval(scores.tolist(), resamples=500, seed=trial)
        hits += low <= 0.6 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_objects_of_one_sequence_stay_together() -> None:
    """Twenty copies of an object in each of two sequences carry no more information than one."""
    one, many = bootstrap_interval([[0.2], [0.8]]), bootstrap_interval([[0.2] * 20, [0.8] * 20])
    assert one == pytest.approx(many)


def test_missing_scores_are_left_out() -> None:
    assert bootstrap_interval([[0.5, float("nan")], [0.5]]) == pytest.approx((0.5, 0.5))
    with pytest.raises(ValueError, match="no finite score"):
        bootstrap_interval([[float("nan")]])


def test_paired_difference_equals_brute_force() -> None:
    generator = np.random.default_rng(1)
    first = {str(n): generator.uniform(size=1 + n % 2).tolist() for n in range(6)}
    second = {name: [value - 0.1 for value in values] for name, values in first.items()}
    second["0"] = [first["0"][0] + 0.3]
    found = paired_difference(first, second)
    sums = np.array([sum(a - b for a, b in zip(first[name], second[name], strict=True)) for name in sorted(first)])
    total = sum(map(len, first.values()))
    patterns = [abs(np.dot(signs, sums)) / total for signs in product((1, -1), repeat=6)]
    assert found.mean == pytest.approx(sums.sum() / total)
    assert found.p == pytest.approx(np.mean([value >= abs(found.mean) - 1e-12 for value in patterns]))
    assert found.low <= found.mean <= found.high


def test_a_consistent_difference_is_significant_and_none_is_not() -> None:
    first = {str(n): [0.5 + 0.01 * n] for n in range(30)}
    better = {name: [values[0] + 0.05] for name, values in first.items()}
    assert paired_difference(better, first).p < 0.001
    assert paired_difference(first, first).p == 1.0


def test_a_pair_needs_the_same_sequences() -> None:
    with pytest.raises(ValueError, match="same sequences"):
        paired_difference({"a": [1.0]}, {"b": [1.0]})
