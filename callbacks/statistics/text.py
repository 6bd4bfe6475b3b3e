"""Scores as text."""

from math import isnan


def percent(value: float | None) -> str:
    """Return a fraction in per cent with one digit; a dash for one that is not defined, nothing for None."""
    return "" if value is None else "–" if isnan(value) else f"{100 * value:.1f}"
