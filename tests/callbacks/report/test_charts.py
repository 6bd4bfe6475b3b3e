"""Charts as drawings whose coordinates are known."""

import re

import pytest

from callbacks.report import Chart, write_material, write_report
from callbacks.report.charts import BOTTOM, LEFT, RIGHT, TOP, draw_bars, draw_lines, ticks
from tests.helpers.page import write_results


def chart(**fields):
    plain = {"title": "J & F", "x": "frame", "y": "J", "curves": {"J": [[0, 10], [0, 1]]}, "kind": "lines"}
    return plain | {"labels": [], "span": [0, 1]} | fields


def test_a_curve_runs_from_corner_to_corner():
    svg = draw_lines(chart(), 200, 100)
    (points,) = re.findall(r'points="([^"]*)"', svg)
    assert points == f"{LEFT:.1f},{100 - BOTTOM:.1f} {200 - RIGHT:.1f},{TOP:.1f}"
    assert 'data-low="0" data-high="10"' in svg
    assert 'class="cursor"' not in svg
    assert 'class="cursor"' in draw_lines(chart(), 200, 100, cursor=True)


def test_unknown_values_are_left_out_and_long_curves_thinned():
    svg = draw_lines(chart(curves={"J": [[0, 1, 2], [0.5, None, 0.5]]}))
    assert len(re.findall(r'points="([^"]*)"', svg)[0].split()) == 2
    long = {"J": [list(range(3000)), [0.5] * 3000]}
    assert len(re.findall(r'points="([^"]*)"', draw_lines(chart(curves=long)))[0].split()) <= 400
    assert draw_lines(chart(curves={"J": [[0], [None]]})) == ""
    assert "polyline" in draw_lines(chart(curves={"J": [[3], [0.4]]}, span=None))  # one point has no extent


def test_an_axis_fits_its_values_where_no_span_is_given():
    svg = draw_lines(chart(curves={"J": [[0, 5], [0.52, 0.58]]}, span=None), 200, 100)
    numbers = [float(text) for text in re.findall(r'text-anchor="end">([^<]*)<', svg)]
    assert 45 <= min(numbers) <= max(numbers) <= 65


def test_bars_are_as_long_as_their_values():
    svg = draw_bars(chart(kind="bars", labels=["neck", "<face>"], curves={"a": [[0, 1], [0.5, 1.0]]}), 554)
    assert [float(text) for text in re.findall(r'width="([^"]*)" height', svg)] == [200, 400]
    assert "&lt;face&gt;" in svg
    gap = draw_bars(chart(kind="bars", labels=["neck", "face"], curves={"a": [[0, 1], [0.5, None]]}))
    assert gap.count("<rect") == 1


def test_names_are_escaped_and_one_curve_needs_no_legend(tmp_path):
    both = {name: ([0, 1], [0.0, 1.0]) for name in ("J & F", "F")}
    one = {"J & F": both["J & F"]}
    for curves, keys in ((one, 0), (both, 2)):
        write_results(folder := tmp_path / str(keys), 0.5)
        write_material(folder, [], charts=[Chart("J & F <b>", "frame", "J", curves)])
        source = write_report(folder).read_text()
        assert source.count('class="key') == keys
        assert "J &amp; F &lt;b&gt;" in source
        assert "<title>J &amp; F</title>" in source


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 48, [10, 20, 30, 40])])
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high, 5) == pytest.approx(expected)


def test_whole_numbers_have_whole_ticks():
    texts = re.findall(r'text-anchor="middle">([^<]*)<', draw_lines(chart(curves={"J": [[0, 2, 4], [0, 1, 1]]})))
    assert texts == ["0", "1", "2", "3", "4", "frame"]
