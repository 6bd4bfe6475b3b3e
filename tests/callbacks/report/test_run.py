"""Content of a run's folder, and the scores shown next to it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from callbacks.report import Chart, write_material, write_report
from callbacks.report.run import overlaid_charts, progress_charts, read_beside, read_run, scores_by_sequence
from lightning_modules.functional import PropagationProtocol
from tests.helpers.page import Page, lines, write_results


def test_rows_of_a_comparison_and_named_runs_stand_beside_it(tmp_path: Path) -> None:
    run = write_results(tmp_path / "cmp/mine/davis", 0.5, protocol={"name": "vfs", "digest": "1"})
    for name, value in (("a_row", 0.4), ("raw", 0.3), ("of_an_earlier_comparison", 0.2)):
        write_results(tmp_path / "cmp" / name / "davis", value, network=name.replace("_", " "))
    rows: dict[str, Any] = {name: {"scores": {}} for name in ("VFS", "raw", "a row")}
    (tmp_path / "cmp/compare.json").write_text(json.dumps(rows | {"broken": {"error": "no such stage"}}))
    same = write_results(tmp_path / "a/davis", 0.6, protocol={"name": "vfs", "digest": "1"})
    other = write_results(tmp_path / "b/davis", 0.7, protocol={"name": "crw", "digest": "2"})
    assert lines(run, same, other / "results.json") == [
        ("this run", 0.5),
        ("raw", 0.3),
        ("a row", 0.4),
        ("a/davis", 0.6),
        ("b/davis (another protocol: crw)", 0.7),
    ]
    otb = write_results(tmp_path / "c", 0.7)
    (otb / "results.json").write_text(json.dumps({"benchmark": "otb", "scores": {}}))
    with pytest.raises(ValueError, match="is a result of otb, the report is of davis"):
        lines(run, otb)


def test_published_rows_are_there_once_for_all_stages(tmp_path: Path) -> None:
    protocol = {"name": "vfs", "digest": PropagationProtocol.named("vfs", "davis").digest()}
    run = write_results(tmp_path / "davis", 0.5, protocol=[protocol, protocol], sequences=30)
    names = [name for name, _ in lines(run)]
    assert sum(name.startswith("VFS, ResNet-18 (") for name in names) == 1
    assert len(names) == len(set(names))


def test_sequences_and_objects_have_the_means_of_the_last_stage() -> None:
    rows = [
        {"Stage": "res3", "Sequence": "bike_1", "J-Mean": "0.9", "F-Mean": "0.9"},
        {"Stage": "res4", "Sequence": "bike_1", "J-Mean": "0.2", "F-Mean": "0.4"},
        {"Stage": "res4", "Sequence": "bike_12", "J-Mean": "0.6", "F-Mean": ""},
        {"Stage": "res4", "Sequence": "bike_x", "J-Mean": "0.1", "F-Mean": "0.1"},
        {"Stage": "res4", "Sequence": "up_1", "J-Mean": "0.1", "F-Mean": "0.1"},
    ]
    scores, objects = scores_by_sequence(rows, ("J-Mean", "F-Mean"), ["bike", "up_1"])
    assert scores == {"bike": pytest.approx(1.4 / 5), "up_1": pytest.approx(0.1)}
    assert objects == {"bike": {1: pytest.approx(0.3), 12: pytest.approx(0.6)}}
    assert scores_by_sequence([], ("J-Mean",), ["bike"]) == ({}, {})


def test_films_of_an_earlier_run_in_the_same_folder_are_left_out(run: Any, tmp_path: Path) -> None:
    _, _, folder = run
    again = shutil.copytree(folder, tmp_path / "again")
    material = json.loads((again / "report.json").read_text())
    (again / "report.json").write_text(json.dumps(material | {"sequences": ["synthetic-001"]}))
    assert [film["sequence"] for film in read_run(again).films] == ["synthetic-001"]


def test_a_run_that_was_resumed_elsewhere_is_one_curve(tmp_path: Path) -> None:
    """A run's results include those of the run that it resumed; those in its folder take precedence."""
    parent = tmp_path / "version_1" / "benchmarks" / "davis"
    past = [
        {"epoch": 0, "step": 0, "scores": {"J&F-Mean": 0.1, "J-Mean": 0.2}},
        {"epoch": 2, "step": 8, "scores": {"J&F-Mean": 0.3, "J-Mean": 0.2}},
        {"epoch": 3, "step": 12, "scores": {"J&F-Mean": 0.9}},
    ]
    write_results(parent / "epoch=002-step=000012", 0.4)
    last = write_results(parent / "epoch=003-step=000016", 0.5, history=past)
    (chart,) = progress_charts(read_run(last))
    assert chart["curves"] == {"J&F-Mean": [[0, 2, 3, 4], [0.1, 0.3, 0.4, 0.5]]}
    (last / "results.json").write_text(json.dumps(json.loads((last / "results.json").read_text()) | {"history": [{}]}))
    with pytest.raises(ValueError, match=r"results\.json: is not a .* \(history, item 0 lacks epoch"):
        read_run(last)


def test_the_trainings_of_other_runs_are_drawn_over_it(tmp_path: Path) -> None:
    for name, shift in (("a", 0.0), ("b", 0.1)):
        for epoch, step in ((0, 0), (0, 4), (1, 8)):
            write_results(tmp_path / name / "davis" / f"epoch={epoch:03d}-step={step:06d}", 0.2 + step / 100 + shift)
    folders = [tmp_path / name / "davis" / "epoch=001-step=000008" for name in "ab"]
    run = read_run(folders[0])
    (chart,) = progress_charts(run, [read_beside(run, folders[1])])
    other = "davis/epoch=001-step=000008, J&F-Mean"
    assert list(chart["curves"]) == ["J&F-Mean", other]
    assert chart["curves"][other] == [[0, 1, 2], pytest.approx([0.3, 0.34, 0.38])]


def test_charts_of_other_runs_are_drawn_over_it_where_the_protocol_is_the_same(tmp_path: Path) -> None:
    for name, digest, value in (("a", "1", 0.5), ("b", "1", 0.7), ("c", "2", 0.9)):
        folder = write_results(tmp_path / name / "otb", value, protocol={"name": "vfs", "digest": digest})
        curves = {"success": (range(2), [1.0, value])}
        write_material(
            folder, ["x"], charts=[Chart("Success", "overlap", "rate", curves), Chart(name, "x", "y", curves)]
        )
    run = read_run(tmp_path / "a" / "otb")
    beside = [tmp_path / "b" / "otb", tmp_path / "c" / "otb" / "results.json"]
    charts = overlaid_charts(run, [read_beside(run, path) for path in beside])
    with pytest.raises(ValueError, match="no_such_run"):  # not the run of the folder above
        read_beside(run, tmp_path / "a" / "otb" / "no_such_run")
    assert charts[0]["curves"] == {"success": [[0, 1], [1.0, 0.5]], "b/otb, success": [[0, 1], [1.0, 0.7]]}
    assert list(charts[1]["curves"]) == ["success"]
    assert list(run.material["charts"][0]["curves"]) == ["success"]
    page = Page(write_report(tmp_path / "a" / "otb", [tmp_path / "b" / "otb"]))
    assert "b/otb, success" in page.text
