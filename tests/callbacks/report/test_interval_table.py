"""Intervals and paired tests on the page."""

import re
from pathlib import Path

from callbacks import DavisBenchmark
from callbacks.report import write_report
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.page import SMALL, Page


def test_the_page_tells_intervals_and_tests_against_runs_beside(davis_root: Path, tmp_path: Path) -> None:
    kinds = {"ours": SMALL, "same": SMALL, "other": {"radius": 2, "context": 2}}
    for name, changes in kinds.items():
        benchmark = DavisBenchmark(davis_root, changes=changes)
        benchmark.evaluate(build_feature_extractor("raw_colour"), tmp_path / name, f"the {name}")
    page = Page(write_report(tmp_path / "ours", [tmp_path / "same", tmp_path / "other"]))
    assert "95 % intervals by bootstrap over sequences" in page.text
    assert "+0.0 [+0.0, +0.0], p 1" in page.text
    assert page.text.count("another protocol\n") >= 3
    assert re.search(r"this run\n\[\d+\.\d, \d+\.\d\]", page.text)
