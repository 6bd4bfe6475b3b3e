"""Rows of pictures and waterfalls: a bar, a number and an interval for each step; files whose text is text."""

import re
from dataclasses import replace

import pytest
from matplotlib.colors import to_hex

from vidcorr.results.cells import published_cell
from vidcorr.results.pictures.plots import END, FALL, RISE, waterfall, write_figure
from vidcorr.results.records import Column
from vidcorr.results.statistics import Difference
from vidcorr.results.tabulate import table_of_cells

TITLE = "Scores of A$1 on davis, $é. Lines are 95 % intervals of the steps, paired by sequence"
LONG = "context, references: 20, None → 3, [0, …]" + " and more" * 20
STEPS = (("crw", 0.3, None), ("topk: 10 → 5", 0.5, (0.2, 0.15, 0.25, 0.01)))
STEPS += ((LONG, 0.413, (-0.087, -0.127, -0.047, 0.02)), ("few seeds", 0.4134, (0.0004,)), ("mine", 0.4134, None))
"""Name, score after the step, and its difference with an interval."""


@pytest.fixture
def table():
    column = Column("davis", "J-Mean")
    cells = []
    for name, score, change in STEPS:
        difference = change and Difference(*change)
        cells.append((name, column, replace(published_cell(score), difference=difference)))
    return replace(table_of_cells(cells), caption="Scores of A$1 on davis, $é")


def test_a_waterfall_has_a_bar_a_number_and_an_interval_for_each_step(table):
    """A step that rounds to nothing is grey; start and end are points; the axis holds the ends of all intervals."""
    axes = waterfall(table).axes[0]
    bars = [(round(bar.get_x(), 2), round(bar.get_width(), 2), to_hex(bar.get_facecolor())) for bar in axes.patches]
    assert bars == [(30, 20, RISE), (50, -8.7, FALL), (41.3, 0.04, END)]
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert middles == sorted(middles)
    points = [tuple(line.get_xydata()[0].round(2)) for line in axes.lines if line.get_marker() == "o"]
    assert [x for x, _ in points] == [30, 41.34]
    assert points[0][1] < middles[0] < middles[-1] < points[1][1]
    assert all(axes.get_xlim()[0] < x < axes.get_xlim()[1] for x, _ in points)
    segments = [segment for lines in axes.collections for segment in lines.get_segments()]
    intervals = [segment[:, 0].round(2).tolist() for segment in segments if segment[0, 1] == segment[1, 1]]
    assert intervals == [[45, 55], [37.3, 45.3]]
    assert axes.get_xlim()[0] < 30
    assert axes.get_xlim()[1] > 55
    (values,) = axes.child_axes
    assert [label.get_text() for label in values.get_yticklabels()] == ["30.0", "+20.0", "−8.7", "+0.0", "41.3"]
    assert max(map(len, axes.get_yticklabels()[2].get_text().split("\n"))) <= 44


def test_files_hold_the_texts(table, tmp_path):
    picture = waterfall(table)
    for suffix, head in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        write_figure(tmp_path / f"new/bridge{suffix}", picture)
        assert (tmp_path / f"new/bridge{suffix}").read_bytes().startswith(head)
    assert b"/FontFile2" in (tmp_path / "new/bridge.pdf").read_bytes()  # the letters are in the file, as letters
    texts = re.findall(r"<text[^>]*>(.*?)</text>", (tmp_path / "new/bridge.svg").read_text("utf-8"))
    assert {"topk", "10 → 5", "+20.0", "J-Mean, per cent", TITLE} <= set(texts)
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        write_figure(tmp_path / "bridge.xyz", picture)
