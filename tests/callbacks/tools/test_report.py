"""`vidcorr report`: which folders it takes."""

import json

import pytest

from callbacks.tools import report


@pytest.fixture
def written(monkeypatch):
    """Record what pages are asked for, without drawing them."""
    pages = []
    monkeypatch.setattr(
        "callbacks.report.write_report", lambda folder, beside: pages.append((folder, list(beside))) or folder
    )
    return pages


def results(folder, benchmark):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"benchmark": benchmark, "scores": {}}))
    return folder


def test_beside_takes_any_folder_above_and_only_the_same_benchmark(tmp_path, written):
    own = results(tmp_path / "own/davis", "davis")
    other = results(tmp_path / "others/run/benchmarks/davis/epoch=1", "davis")
    results(tmp_path / "others/run/benchmarks/jhmdb/epoch=1", "jhmdb")
    report.command([str(own), "--beside", str(tmp_path / "others"), str(other / "results.json")])
    assert written == [(own, [other, other])]


def test_beside_without_anything_that_fits_is_refused(tmp_path, written):
    own = results(tmp_path / "own", "davis")
    results(tmp_path / "other", "vip")
    with pytest.raises(ValueError, match="none of the runs of --beside is a result of davis"):
        report.command([str(own), "--beside", str(tmp_path / "other")])
    with pytest.raises(ValueError, match=r"no results\.json"):
        report.command([str(own), "--beside", str(tmp_path / "nowhere")])
    assert written == []
