"""Scores as text."""

import pytest

from callbacks.statistics.text import percent


@pytest.mark.parametrize(
    ("value", "text"), [(0.7746, "77.5"), (1.0, "100.0"), (-0.003, "-0.3"), (float("nan"), "–"), (None, "")]
)
def test_percent(value, text):
    assert percent(value) == text
