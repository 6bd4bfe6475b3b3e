"""Several backbones in one table, with the baselines, from the command line and from a config."""

import csv
import json
import re
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from callbacks import DavisBenchmark, TapVidBenchmark, YoutubeVosBenchmark
from callbacks.benchmarks.results import Results
from callbacks.tools.compare import benchmarks_of, command, compare, contestants
from cli import main
from datamodules.reading.errors import DataError
from lightning_modules.backbones import build_encoder, build_feature_extractor
from tests.helpers.tap_vid import write_points

BLOCKY = "tests.helpers.encoders:Blocky"
TINY = "tests.helpers.encoders:TinyResNet"
SMALL = {"radius": 3, "context": 2}


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
    with pytest.raises(ValueError, match="the stride 'four' is not a number"):
        contestants(["x@res3/four"])
    with pytest.raises(ValueError, match="raw_colour is named twice"):
        contestants(["raw_colour", "raw_colour"])


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
    table = {row["name"]: row for row in csv.DictReader((tmp_path / "compare.csv").open())}
    assert float(table[TINY]["davis/J&F-Mean"]) == alone["J&F-Mean"]
    assert table[f"{TINY}@res9"]["davis/J&F-Mean"] == ""
    assert len(list(tmp_path.glob("*/davis/results.json"))) == 2
    assert "[2/3]" in capsys.readouterr().out


def test_by_the_command_line_with_the_baselines(davis_root, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    config.write_text(
        f"trainer:\n  callbacks+:\n    - class_path: DavisBenchmark\n      init_args:\n        root: nowhere\n"
        f"        stage: res4\n        changes: {json.dumps(SMALL)}\n    - class_path: BestCheckpoint\n"
    )
    flags = ["--config", str(config), "--root", str(davis_root), "--limit", "1", "--output", str(tmp_path / "out")]
    main(["compare", BLOCKY, *flags, "--seeds", "3"])
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert list(content) == [BLOCKY, "untrained resnet18, seed 3", "raw colour"]
    assert all("davis/J&F-Mean" in row["scores"] for row in content.values())
    assert "raw colour" in capsys.readouterr().out.splitlines()[-1]


def test_points_in_one_table_by_the_released_config(tmp_path, capsys):
    root, output = write_points(tmp_path / "set.pkl", videos=2, frames=5), tmp_path / "out"
    flags = ["--config", "benchmarks/tap_vid.yaml", "--root", str(root), "--output", str(output), "--no-baselines"]
    main(["compare", "raw_colour", f"{BLOCKY}", *flags])
    content = json.loads((output / "compare.json").read_text())
    for row, stride in (("raw_colour", 8), (BLOCKY, 4)):
        scores = content[row]["scores"]
        alone = TapVidBenchmark(root).evaluate(build_feature_extractor(row))
        assert scores == {f"tap_vid/{key}": value for key, value in alone.items()}
        assert content[row]["features"]["tap_vid"].endswith(f"at stride {stride}")
    assert content[BLOCKY]["scores"]["tap_vid/grid_limit"] > content["raw_colour"]["scores"]["tap_vid/grid_limit"]
    told = capsys.readouterr().out
    assert "grid_limit" in told
    assert "tap_vid/average_jaccard raw_colour: " in told


def test_benchmarks_of_a_config(tmp_path, capsys):
    config = tmp_path / "two.yaml"
    entries = (
        ("callbacks.YoutubeVosBenchmark", "{root: a, split: holdout}"),
        ("DavisBenchmark", "{root: b, stage: res4}"),
    )
    lines = [f"    - class_path: {path}\n      init_args: {arguments}\n" for path, arguments in entries]
    config.write_text("trainer:\n  callbacks+:\n" + "".join(lines))
    youtube_vos, davis = benchmarks_of(config, limit=3)
    assert isinstance(youtube_vos, YoutubeVosBenchmark)
    assert isinstance(davis, DavisBenchmark)
    assert (davis.root, davis.stage, davis.limit_sequences) == ("b", None, 3)
    told = capsys.readouterr().out.splitlines()
    assert told == [f"compare leaves out stage res4 of {config}; write SPEC@STAGE or SPEC@STAGE/STRIDE"]


def test_whatever_one_row_raises_the_others_are_there(davis_root, tmp_path, monkeypatch):
    def build(spec, pretrained):
        assert spec != "odd", "Input height (96) doesn't match model (224)."
        return build_encoder(spec, pretrained)

    monkeypatch.setattr(import_module("callbacks.tools.compare"), "build_encoder", build)
    rows = contestants(["odd", BLOCKY], baselines=False)
    assert list(compare(rows, [DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)], tmp_path)) == [BLOCKY]
    error = json.loads((tmp_path / "compare.json").read_text())["odd"]["error"]
    assert error.startswith("AssertionError: Input height (96)")


def test_the_command_fails_when_a_backbone_failed_and_keeps_the_others(davis_root, tmp_path):
    config = tmp_path / "small.yaml"
    arguments = json.dumps({"root": str(davis_root), "changes": SMALL, "limit_sequences": 1})
    config.write_text(f"trainer: {{callbacks+: [{{class_path: DavisBenchmark, init_args: {arguments}}}]}}")
    with pytest.raises(SystemExit) as stopped:
        main(["compare", BLOCKY, f"{TINY}@res9", "--no-baselines", "--config", str(config), "--output", str(tmp_path)])
    assert stopped.value.code.startswith(f"vidcorr: compare: 1 of 2 backbones failed ({TINY}@res9); ")
    assert list(tmp_path.glob("*/davis/results.json"))


def test_rows_whose_names_look_alike_have_folders_of_their_own():
    names = ["p/last.ckpt", "p_last.ckpt", "P_last.ckpt", "other.ckpt"]
    folders = import_module("callbacks.tools.compare")._folders(names)
    assert folders["other.ckpt"] == "other.ckpt"
    assert len({folder.casefold() for folder in folders.values()}) == 4
    assert folders == import_module("callbacks.tools.compare")._folders(names[::-1])


@pytest.mark.parametrize("limit", ["0", "-1", "few"])
def test_a_limit_is_at_least_one(limit, capsys):
    with pytest.raises(SystemExit) as stopped:
        command([BLOCKY, "--davis", "nowhere", f"--limit={limit}"])
    assert stopped.value.code == 2
    assert f"argument --limit: expected a number of sequences, 1 or more, got '{limit}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {callbacks+: [{class_path: BestCheckpoint}]}", "names no benchmark"),
        ("trainer: 3", "expected class_path and init_args"),
        ("a: [", "expected class_path and init_args"),
        (
            "trainer: {callbacks: [{class_path: DavisBenchmark, init_args: {root: x, rot: y}}]}",
            "DavisBenchmark: .*'rot'",
        ),
    ],
)
def test_configs_that_are_none(tmp_path, text, message):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises(ValueError, match=message):
        benchmarks_of(config)
    with pytest.raises(ValueError, match=r"nowhere\.yaml: no such config"):
        benchmarks_of(tmp_path / "nowhere.yaml")


def test_mistakes_are_told_before_any_work(davis_root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        compare(contestants([BLOCKY]), [DavisBenchmark(tmp_path / "nowhere")], tmp_path / "out")
    with pytest.raises(ValueError, match="every backbone failed"):
        compare(contestants(["nonsense"], baselines=False), [DavisBenchmark(davis_root)], tmp_path / "out")
    with pytest.raises(SystemExit, match="name at least one backbone"):
        main(["compare", "--davis", str(davis_root), "--no-baselines"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        compare(contestants([BLOCKY]), [DavisBenchmark(davis_root)], tmp_path / "file" / "out")


def test_each_row_has_its_interval_and_a_test_against_the_best_under_the_same_protocol():
    """Every sequence of "worse" scores 0.1 less than in "best": no resampling can give another difference."""

    def run(values, digest):
        rows = [
            {"Sequence": f"{name}_1", "J-Mean": value, "F-Mean": value}
            for name, value in zip("abcd", values, strict=True)
        ]
        return {"own": Results("own", {"J&F-Mean": sum(values) / 4}, rows, {"protocol": {"digest": digest}})}

    found = {
        "best": run([0.5, 0.6, 0.7, 0.8], "x"),
        "worse": run([0.4, 0.5, 0.6, 0.7], "x"),
        "same everywhere": run([0.3] * 4, "x"),
        "other": run([0.1, 0.2, 0.3, 0.4], "y"),
    }
    benchmark = SimpleNamespace(name="own", sequences=[SimpleNamespace(name=name) for name in "abcd"])
    best, worse, same, other = import_module("callbacks.tools.compare")._tested(found, [benchmark])
    low, high = (float(number) for number in re.search(r"\[(.+), (.+)\]", best).groups())
    assert best.startswith("own/J&F-Mean best: 65.0, 95 % interval [")
    assert 50 <= low < 65 < high <= 80
    assert worse.endswith("; -10.0 [-10.0, -10.0] against best, p 0.12")
    assert same.startswith("own/J&F-Mean same everywhere: 30.0, 95 % interval [30.0, 30.0]; -35.0 [")
    assert other.endswith("]; another protocol than best, not tested")
    assert not list(import_module("callbacks.tools.compare")._tested({"best": found["best"]}, [benchmark]))
