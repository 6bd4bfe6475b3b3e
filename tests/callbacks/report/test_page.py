"""report.html of every benchmark: complete in itself, with the run's own numbers, and made again from the files."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callbacks import DavisBenchmark, JhmdbBenchmark, OtbBenchmark, VipBenchmark, YoutubeVosBenchmark
from callbacks.benchmarks import base
from callbacks.metrics import SequenceScore
from callbacks.pictures import overlay_masks
from callbacks.pictures.film import reduced
from callbacks.report import write_report
from callbacks.tools.report import command
from cli import main
from datamodules.datasets import Davis
from datamodules.synthetic import write_jhmdb, write_otb, write_vip, write_youtube_vos
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.page import SMALL, Page, lines, write_results


def test_the_source_of_the_protocol_is_named(run: Any, tmp_path: Path) -> None:
    """VFS's input size on VIP is not in its code, and results.json and the page state this."""
    source = json.loads((run[2] / "results.json").read_text())["protocol_source"]
    assert source["code"].startswith("xvjiarui/VFS @ 8e055cc")
    assert source["code"] in Page(run[2] / "report.html").text
    assert "inferred" not in source
    root = write_vip(tmp_path / "vip", 1, frames=2, size=(64, 64))
    changes = {"input_size": None, **SMALL}
    VipBenchmark(root, parts=["semantic"], changes=changes).evaluate(
        build_feature_extractor("raw_colour"), tmp_path / "out"
    )
    source = json.loads((tmp_path / "out" / "results.json").read_text())["protocol_source"]
    assert source["inferred"].startswith("input_size: no configuration was released")
    assert source["inferred"] in Page(tmp_path / "out" / "report.html").text


def test_the_page_needs_nothing_else_and_tells_the_run(run: Any) -> None:
    benchmark, scores, folder = run
    page = Page(folder / "report.html")
    assert not re.search(r"(?:src|href)=|https?://|@import|url\((?!data:)", page.source)
    assert {f"{100 * value:.1f}" for value in scores.values()} <= set(page.text.split())
    for told in ("raw <colour>", "vfs+context=2+radius=3", benchmark.protocol.digest(), "synthetic-000_1", "torch"):
        assert told in page.text, told
    assert page.counts["film"] == 3
    assert page.counts["small"] == 3
    assert (folder / "report.html").stat().st_size < 5_000_000
    results = json.loads((folder / "results.json").read_text())
    assert results["network"] == "raw <colour>"
    assert results["machine"]["cores"] >= 1


def test_curves_are_those_of_the_metric_averaged_over_objects(run: Any) -> None:
    benchmark, _, folder = run
    for sequence in Davis(benchmark.root):
        about = json.loads((folder / "films" / f"{sequence.name}.json").read_text())
        score = SequenceScore(sequence.name, sequence.objects)
        for t, frame in enumerate(sequence.frames):
            with Image.open(folder / "predictions" / sequence.name / f"{frame.stem}.png") as mask:
                score.add(np.array(mask), sequence.mask(t))
        frames = list(score.frames().values())
        for number, name in enumerate("JF"):
            places, values = about["curves"][name]
            assert places == list(range(1, sequence.num_frames - 1))
            assert values == pytest.approx(np.mean([pair[number] for pair in frames], axis=0), abs=1e-4)


def test_the_command_makes_the_same_page_again(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, folder = run
    first = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    main(["report", str(folder.parent)])
    assert (folder / "report.html").read_text() == first
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    with pytest.raises(ValueError, match=r"no results\.json of a benchmark in or below"):
        command([str(tmp_path)])
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match=r"is not a results\.json"):
        command([str(tmp_path)])


def test_a_damaged_run_is_named_and_the_others_are_written(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, folder = run
    film = next((folder / "films").rglob("*.json")).relative_to(folder)
    for name, damaged in (("a", "report.json"), ("b", film), ("c", "results.json")):
        (shutil.copytree(folder, tmp_path / name) / damaged).write_text('{"cut')
    shutil.copytree(folder, tmp_path / "d")
    (tmp_path / "d" / "report.html").unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path)])
    message = str(stopped.value)
    assert "3 of 4 pages" in message
    for file in (tmp_path / "a" / "report.json", tmp_path / "b" / film, tmp_path / "c" / "results.json"):
        assert message.count(f"{file}: is not a ") == 1
    assert capsys.readouterr().out.split() == [str(tmp_path / "d" / "report.html")]
    assert (tmp_path / "d" / "report.html").is_file()


def test_a_damaged_comparison_beside_it_is_named(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "mine/davis", 0.5)
    (tmp_path / "compare.json").write_text("{")
    with pytest.raises(ValueError, match=r"compare\.json: is not a compare\.json, or damaged"):
        write_report(folder)


def test_a_film_without_its_picture_is_left_out(run: Any, tmp_path: Path) -> None:
    _, _, folder = run
    again = shutil.copytree(folder, tmp_path / "again")
    next((again / "films").rglob("*.webp")).unlink()
    assert Page(write_report(again)).counts["film"] == Page(folder / "report.html").counts["film"] - 1


def test_other_epochs_stand_beside_it_with_a_curve(tmp_path: Path) -> None:
    parent = tmp_path / "benchmarks" / "davis"
    write_results(parent / "epoch=000-step=000000", 0.2)
    write_results(parent / "epoch=001-step=000008", 0.4)
    last = write_results(parent / "epoch=003-step=000016", 0.5)
    assert lines(last) == [("this run", 0.5), ("before training", 0.2), ("epoch 2, step 8", 0.4)]
    page = Page(write_report(last))
    assert "J&F-Mean over the training" in page.text
    assert [title.strip() for title in re.findall(r"<title>(J&amp;F-Mean: [^<]*)</title>", page.source)] == [
        "J&amp;F-Mean: 20.0 at 0",
        "J&amp;F-Mean: 40.0 at 2",
        "J&amp;F-Mean: 50.0 at 4",
    ]
    assert "over the training" not in Page(write_report(write_results(tmp_path / "alone", 0.2))).text


BENCHMARKS: dict[str, Any] = {
    "jhmdb": (lambda root: write_jhmdb(root, 2, frames=4, size=(60, 80)), JhmdbBenchmark, {"changes": SMALL}),
    "vip": (lambda root: write_vip(root, 2, frames=3, size=(48, 64)), VipBenchmark, {"changes": SMALL}),
    "youtube_vos": (
        lambda root: write_youtube_vos(root, 3, valid=1, frames=11, size=(48, 48), sprites=(2, 2)),
        YoutubeVosBenchmark,
        {"changes": SMALL, "split": "valid"},
    ),
    "otb": (
        lambda root: write_otb(root, 2, frames=5, size=(96, 96)),
        OtbBenchmark,
        {"version": None, "stage": None, "dilated": False},
    ),
}

TOLD = {
    "jhmdb": ["Each joint", "left ankle", "PCK@0.2"],
    "vip": ["(semantic)", "(instance)", "mIoU"],
    "youtube_vos": ["No ground truth, nothing to score."],
    "otb": ["location error (px)", "overlap threshold", "white: the annotation"],
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_writes_one(name: str, tmp_path: Path) -> None:
    write, kind, arguments = BENCHMARKS[name]
    benchmark = kind(write(tmp_path / "data"), **arguments)
    benchmark.evaluate(build_feature_extractor("raw_colour"), tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    films = len(benchmark.sequences) * (2 if name == "vip" else 1)
    assert page.counts["film"] == films
    assert all(sequence.name in page.text for sequence in benchmark.sequences)
    assert all(told in page.text for told in TOLD[name])


def test_a_page_that_cannot_be_written_takes_nothing_away(
    davis_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("no template")

    monkeypatch.setattr(base, "write_report", fail)
    scores = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1).evaluate(
        build_feature_extractor("raw_colour"), tmp_path
    )
    assert json.loads((tmp_path / "results.json").read_text())["scores"] == scores
    assert "davis: report.html could not be written: no template" in caplog.text


SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("films/synthetic-000.json", {"frames": [SCRIPT]}),
        ("films/synthetic-000.json", {"columns": SCRIPT}),
        ("films/synthetic-000.json", {"size": [SCRIPT, 1]}),
        ("films/synthetic-000.json", {"curves": {"J": [[0], [SCRIPT]]}}),
        ("report.json", {"charts": [{"title": SCRIPT}]}),
        ("results.json", {"scores": {"J&F-Mean": SCRIPT}}),
        ("results.json", {"protocol": {"name": "vfs", "digest": [SCRIPT]}}),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(run: Any, tmp_path: Path, file: str, change: Any) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run[2], folder)
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
    with pytest.raises(ValueError, match=rf"{Path(file).name}: is not a .*, or damaged"):
        write_report(folder)


def test_text_of_any_file_is_escaped(run: Any, tmp_path: Path) -> None:
    """Every text that the page shows is replaced by markup; none of it arrives as markup."""
    folder = tmp_path / "copy"
    shutil.copytree(run[2], folder)

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name if name in fixed else f"{name}{SCRIPT}": spoil(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [spoil(item, key) for item in value]
        return value + SCRIPT if isinstance(value, str) and key != "kind" else value

    fixed = {"sequence", "kind", "columns", "frames", "size", "curves", "sequences", "ranked_by", "shows", "charts"}
    fixed |= {"title", "x", "y", "labels", "span", "benchmark", "scores", "protocol", "name", "digest", "versions"}
    fixed |= {"command", "limit_sequences", "network", "date", "text_columns"}
    for path in [*folder.rglob("*.json")]:
        path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    rows = (folder / "per_sequence.csv").read_text().splitlines()
    (folder / "per_sequence.csv").write_text("\n".join(f"{line},{SCRIPT}" for line in rows))
    source = Page(write_report(folder)).source
    assert SCRIPT not in source
    assert source.count("alert(1)") > 20


def test_a_column_of_text_is_shown_as_it_is(run: Any, tmp_path: Path) -> None:
    """Declared or not: a text among the rows costs the page nothing."""
    folder = tmp_path / "copy"
    shutil.copytree(run[2], folder)
    heading, *rows = (folder / "per_sequence.csv").read_text().splitlines()
    table = [f"{heading},Weather,Year", *(f"{row},rain & wind,2017" for row in rows)]
    (folder / "per_sequence.csv").write_text("\n".join(table))
    material = json.loads((folder / "report.json").read_text()) | {"text_columns": ["Year"]}
    (folder / "report.json").write_text(json.dumps(material))
    page = Page(write_report(folder))
    assert "rain & wind" in page.text
    assert '<td class="text">2017</td>' in page.source


def test_a_film_holds_the_overlays_in_order(run: Any) -> None:
    benchmark, _, folder = run
    sequence = benchmark.sequences[1]
    about = json.loads((folder / "films" / f"{sequence.name}.json").read_text())
    sheet = np.asarray(Image.open(folder / "films" / f"{sequence.name}.webp").convert("RGB")).astype(int)
    width, height = about["size"]
    assert about["frames"] == list(range(sequence.num_frames))
    assert sheet.shape == (height, width * sequence.num_frames, 3)
    for t in about["frames"]:
        mask = np.array(Image.open(folder / "predictions" / sequence.name / f"{sequence.frames[t].stem}.png"))
        expected = overlay_masks(*reduced(sequence.frame(t), sequence.mask(0).new_tensor(mask)))
        shown = sheet[:, t * width : (t + 1) * width]
        assert np.abs(shown - expected).mean() < 12  # what the compression loses
    other = overlay_masks(*reduced(sequence.frame(0), sequence.mask(0)))
    assert np.abs(sheet[:, -width:] - other).mean() > 12
