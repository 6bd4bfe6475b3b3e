"""Published numbers in a report: on the whole test set only, by the same protocol."""

from pathlib import Path

from callbacks.report import write_report
from lightning_modules.functional import PropagationProtocol
from tests.helpers.page import Page, lines, write_results


def test_published_numbers_stand_beside_a_whole_test_set_only(tmp_path: Path) -> None:
    vfs = {"name": "vfs", "digest": PropagationProtocol.named("vfs", "davis").digest()}
    older = {"name": "vfs", "digest": "of another version"}
    changed = older | {"name": "vfs+radius=6"}
    for name, sequences, protocol in (("part", 8, vfs), ("older", 30, older), ("other", 30, changed)):
        assert len(lines(write_results(tmp_path / name, 0.5, sequences=sequences, protocol=protocol))) == 1
    whole = write_results(tmp_path / "whole", 0.5, sequences=30, protocol=vfs)
    assert ("VFS, ResNet-18 (VFS (arXiv 2103.17263), Table 7)", 0.667) in lines(whole)
    assert "Not measured here" in Page(write_report(whole)).text
