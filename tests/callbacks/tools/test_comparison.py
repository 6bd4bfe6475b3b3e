"""`vidcorr compare`: several backbones in one table, with the baselines, by flags and by a config."""

import csv
import json

import pytest
import torch

from callbacks import DavisBenchmark, YoutubeVosBenchmark
from callbacks.command_line.endings import UsageError
from callbacks.folder_lock import FolderInUse
from callbacks.tools.compare import benchmarks_of, compare, contestants
from cli import main
from datamodules.reading.guards import DataError
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.folders import held
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL, refusal

BLOCKY = "tests.helpers.encoders:Blocky"

TINY = "tests.helpers.encoders:TinyResNet"


def table_of(folder):
    return {row["row"]: row for row in csv.DictReader((folder / "compare.csv").open()) if "J&F" in row["column"]}


def test_what_the_command_line_names():
    rows = contestants(["timm:vit_small_patch16_224@block9", "run.ckpt@res3/4", "raw_colour"], pretrained=True)
    assert [(row.spec, row.stage, row.stride, row.pretrained, row.seed) for row in rows] == [
        ("timm:vit_small_patch16_224", "block9", None, True, 0),
        ("run.ckpt", "res3", 4, False, 0),
        ("raw_colour", None, None, False, 0),
        ("torchvision:resnet18", None, None, False, 0),
        ("torchvision:resnet18", None, None, False, 1),
        ("raw_colour", None, None, False, 0),
    ]
    refused(ValueError, "the stride 'four' is not a number", contestants, ["x@res3/four"])
    refused(ValueError, "two rows would have one folder, raw_colour; name", contestants, ["raw_colour", "raw_colour"])


def test_rows_equal_each_benchmark_alone_and_a_failure_is_a_row(davis_root, tmp_path, capsys):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    rows = contestants([BLOCKY, f"{TINY}@res9", TINY], baselines=False)
    scores = compare(rows, [benchmark], tmp_path)
    assert list(scores) == [BLOCKY, TINY]
    torch.manual_seed(0)
    alone = benchmark.evaluate(build_feature_extractor(TINY))
    assert scores[TINY] == {f"davis/{key}": value for key, value in alone.items()}
    content = json.loads((tmp_path / "compare.json").read_text())
    assert "stage 'res9'" in content[f"{TINY}@res9"]["error"]
    assert content[BLOCKY]["protocol"]["davis"].startswith("vfs+context=2+feature_stride=4+radius=3 ")
    assert content[TINY]["features"] == {"davis": "res4 at stride 8"}
    assert float(table_of(tmp_path)[TINY]["mean"]) == alone["J&F-Mean"]
    pages = [page.read_text() for page in tmp_path.glob("*/davis/report.html")]
    assert [page.count('"differences": ') for page in pages] == [1, 1]  # each with the other row
    assert "[2/3]" in capsys.readouterr().out


def test_benchmarks_of_a_config(tmp_path, capsys):
    config = tmp_path / "two.yaml"
    config.write_text("""
trainer:
  callbacks+:
    - {class_path: callbacks.YoutubeVosBenchmark, init_args: {root: a, split: holdout}}
    - {class_path: DavisBenchmark, init_args: {root: b, stage: res4}}
""")
    youtube_vos, davis = benchmarks_of(config, limit_sequences=3)
    assert isinstance(youtube_vos, YoutubeVosBenchmark)
    assert isinstance(davis, DavisBenchmark)
    assert (davis.root, davis.stage, davis.limit_sequences) == ("b", None, 3)
    told = capsys.readouterr().out.splitlines()
    assert told == [f"stage res4 of {config} left out; write SPEC@STAGE or SPEC@STAGE/STRIDE"]


def test_configs_that_are_none(tmp_path):
    config = tmp_path / "config.yaml"
    for text, message in {
        "trainer: {callbacks+: [{class_path: BestCheckpoint}]}": "names no benchmark",
        "trainer: 3": "names no benchmark",
        "a: [": "cannot be read",
        "trainer: {callbacks: [{class_path: DavisBenchmark, init_args: {root: x, rot: y}}]}": "DavisBenchmark: .*'rot'",
    }.items():
        config.write_text(text)
        assert refused((UsageError, ValueError), message, benchmarks_of, config)
    assert refused(UsageError, r"there is no file .*nowhere\.yaml", benchmarks_of, tmp_path / "nowhere.yaml")


@pytest.mark.slow
def test_rows_have_intervals_and_are_tested_against_the_named_row_under_its_protocol(davis_root, tmp_path, capsys):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=2)
    rows = contestants(["raw_colour", BLOCKY, f"{TINY}@res4/8"], baselines=False)
    refused(ValueError, "--base 'other' is no row; the rows are raw_colour", compare, rows, [], tmp_path, "other")
    compare(rows, [benchmark], tmp_path, base="raw_colour")
    told = capsys.readouterr().out
    tested = [name for name, row in table_of(tmp_path).items() if row["p"]]
    assert tested == [f"{TINY}@res4/8"]  # the other has another stride
    note = "After “;”: difference from raw_colour, paired by sequence, each row tested by itself."
    assert note in " ".join(told.split())
    compare(rows[1:2], [benchmark], tmp_path / "alone")
    assert "; " not in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_that_another_comparison_uses_is_one_line(davis_root, tmp_path):
    with held(tmp_path / "out"), pytest.raises(FolderInUse, match=r"out is in use .*; give this comparison its own"):
        compare(contestants([BLOCKY]), [DavisBenchmark(davis_root)], tmp_path / "out")
    assert not (tmp_path / "out/compare.json").exists()


def test_by_the_command_line_with_the_baselines(davis_root, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    own = {"class_path": "DavisBenchmark", "init_args": {"root": "nowhere", "stage": "res4", "changes": SMALL}}
    config.write_text(json.dumps({"trainer": {"callbacks+": [own, {"class_path": "BestCheckpoint"}]}}))
    flags = ["--config", str(config), "--root", str(davis_root), "--limit", "1", "--output", str(tmp_path / "out")]
    main(["compare", BLOCKY, *flags, "--seeds", "3"])
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert list(content) == [BLOCKY, "untrained resnet18, seed 3", "raw colour"]
    assert all("davis/J&F-Mean" in row["scores"] for row in content.values())
    assert any(line.startswith("raw colour ") for line in capsys.readouterr().out.splitlines())


def test_mistakes_are_told_before_any_work(davis_root, tmp_path):
    good, output, rows = [DavisBenchmark(davis_root)], tmp_path / "out", contestants([BLOCKY])
    refused(DataError, "no such folder", compare, rows, [DavisBenchmark(tmp_path / "nowhere")], output)
    refused(ValueError, "every backbone failed", compare, contestants(["nonsense"], baselines=False), good, output)
    assert "name at least one backbone" in refusal("compare", "--root", davis_root, "--no-baselines")
    (tmp_path / "file").write_text("")
    refused(OSError, "file", compare, rows, good, tmp_path / "file" / "out")
