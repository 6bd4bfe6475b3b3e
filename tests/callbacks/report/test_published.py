"""Published scores beside one's own."""

from pathlib import Path

from callbacks.report import write_report
from tests.helpers.page import Page, lines, write_results


def test_published_numbers_stand_beside_a_whole_test_set_only(tmp_path: Path) -> None:
    vfs = {"name": "vfs", "digest": "d"}
    assert len(lines(write_results(tmp_path / "part", 0.5, sequences=8, protocol=vfs))) == 1
    assert (
        len(lines(write_results(tmp_path / "other", 0.5, sequences=30, protocol=vfs | {"name": "vfs+radius=6"}))) == 1
    )
    whole = write_results(tmp_path / "whole", 0.5, sequences=30, protocol=vfs)
    assert ("VFS, ResNet-18 (VFS (arXiv 2103.17263), Table 7)", 0.667) in lines(whole)
    assert "Not measured here" in Page(write_report(whole)).text
