"""Charts as SVG that takes its colours from the page."""

import math
from collections.abc import Sequence
from html import escape

from ..stored_results import Json

MOST_POINTS = 400
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 8, 30


def draw_chart(chart: Json) -> str:
    """Draw a chart of report.json, the fields of `Chart`, as SVG."""
    return draw_bars(chart) if chart["kind"] == "bars" else draw_lines(chart)


def draw_film_curves(film: Json, cursor: bool = False) -> str:
    """Draw the curves of a film as SVG; `cursor` adds a line that it moves along."""
    chart = {"x": "frame", "y": ", ".join(film["curves"]), "curves": film["curves"], "span": (0, 1)}
    return draw_lines(chart, 330, 120, cursor)


def draw_lines(chart: Json, width: int = 560, height: int = 260, cursor: bool = False) -> str:
    """Draw curves over a numeric axis.

    Args:
        chart: the fields of `Chart`.
        width: width of the drawing.
        height: height of the drawing.
        cursor: add a line that a film moves along.
    """
    points = {
        name: [(x, y) for x, y in zip(*curve, strict=True) if x is not None and y is not None]
        for name, curve in chart["curves"].items()
    }
    every = [point for curve in points.values() for point in curve]
    if not every:
        return ""
    x_low, x_high = min(x for x, _ in every), max(x for x, _ in every)
    y_low, y_high = chart.get("span") or _fitted([y for _, y in every])
    x_high = x_high if x_high > x_low else x_low + 1

    def position(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (width - LEFT - RIGHT)
        return across, TOP + (y_high - y) / (y_high - y_low) * (height - TOP - BOTTOM)

    parts = []
    for y in ticks(100 * y_low, 100 * y_high, 4 if height > 150 else 2):
        _, up = position(x_low, y / 100)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{up + 4:.1f}" text-anchor="end">{y:g}</text>')
    whole = all(float(x).is_integer() for x, _ in every)
    for x in ticks(x_low, x_high, 8 if width > 400 else 4, least=1 if whole else 0):
        across, _ = position(x, y_low)
        parts.append(f'<text x="{across:.1f}" y="{height - BOTTOM + 14}" text-anchor="middle">{x:g}</text>')
    middle = (LEFT + width - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{height - 2}" text-anchor="middle">{escape(chart["x"])}</text>')
    for number, (name, curve) in enumerate(points.items()):
        step = -(-len(curve) // MOST_POINTS) or 1
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (position(*point) for point in curve[::step]))
        parts.append(f'<polyline class="c{number % 6}" points="{path}"><title>{escape(name)}</title></polyline>')
        if len(curve) <= 12:
            for x, y in curve:
                a, b = position(x, y)
                label = f"{escape(name)}: {100 * y:.1f} at {x:g}"
                parts.append(
                    f'<circle class="c{number % 6}" cx="{a:.1f}" cy="{b:.1f}" r="3"><title>{label}</title></circle>'
                )
    if cursor:
        parts.append(f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{height - BOTTOM}"/>')
    ends = f'data-low="{x_low:g}" data-high="{x_high:g}" data-left="{LEFT}" data-right="{width - RIGHT}"'
    label = escape(f"{chart['y']} in per cent over {chart['x']}", quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" {ends}>{"".join(parts)}</svg>'


def draw_bars(chart: Json, width: int = 560) -> str:
    """Draw horizontal bars, a group for each label."""
    names, curves = list(chart["labels"]), list(chart["curves"].values())
    bar, gap, left = (14, 8, 110) if len(curves) == 1 else (9, 8, 110)
    row = bar * len(curves) + gap
    parts = []
    for number, name in enumerate(names):
        top = number * row
        parts.append(
            f'<text x="{left - 6}" y="{top + (row - gap) / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
        for series, (_, values) in enumerate(curves):
            if (value := values[number]) is None:
                continue
            length, y = value * (width - left - 44), top + series * bar
            parts.append(f'<rect class="c{series % 6}" x="{left}" y="{y}" width="{length:.1f}" height="{bar - 1}"/>')
            parts.append(f'<text class="value" x="{left + length + 4:.1f}" y="{y + bar - 2}">{100 * value:.1f}</text>')
    label = escape(f"{chart['y']} in per cent of each {chart['x']}", quote=True)
    return f'<svg viewBox="0 0 {width} {len(names) * row}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def ticks(low: float, high: float, intervals: int, least: float = 0) -> list[float]:
    """Return round numbers from low to high, roughly `intervals` intervals, at least `least` apart.

    Example:
        >>> ticks(0, 100, 4), ticks(1, 88, 4)
        ([0.0, 25.0, 50.0, 75.0, 100.0], [25.0, 50.0, 75.0])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / intervals))
    step = next(
        power * factor for factor in (1, 2, 2.5, 5, 10, 20) if (high - low) / (power * factor) <= intervals + 0.01
    )
    step = max(step, least)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 9) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _fitted(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of values, widened to multiples of 0.05."""
    low, high = math.floor(20 * min(values) - 0.2) / 20, math.ceil(20 * max(values) + 0.2) / 20
    return low, high
