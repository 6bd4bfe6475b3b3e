"""Several backbones in one table, with the baselines, from the command line and from a config."""

import csv
import json
import re
from types import SimpleNamespace

import pytest
import torch

from callbacks import DavisBenchmark, YoutubeVosBenchmark
from callbacks.benchmarks.results import Results
from callbacks.experiments import comparison
from callbacks.experiments.comparison import benchmarks_of, compare, contestants
from lightning_modules.backbones import build_encoder, build_feature_extractor

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
    assert told == [f"stage res4 of {config} left out; write SPEC@STAGE or SPEC@STAGE/STRIDE"]


def test_whatever_one_row_raises_the_others_are_there(davis_root, tmp_path, monkeypatch):
    def build(spec, pretrained):
        assert spec != "odd", "Input height (96) doesn't match model (224)."
        return build_encoder(spec, pretrained)

    monkeypatch.setattr(comparison, "build_encoder", build)
    rows = contestants(["odd", BLOCKY], baselines=False)
    assert list(compare(rows, [DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)], tmp_path)) == [BLOCKY]
    error = json.loads((tmp_path / "compare.json").read_text())["odd"]["error"]
    assert error.startswith("AssertionError: Input height (96)")


def test_rows_whose_names_look_alike_have_folders_of_their_own():
    names = ["p/last.ckpt", "p_last.ckpt", "P_last.ckpt", "other.ckpt"]
    folders = comparison._folders(names)
    assert folders["other.ckpt"] == "other.ckpt"
    assert len({folder.casefold() for folder in folders.values()}) == 4
    assert folders == comparison._folders(names[::-1])


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
    best, worse, same, other = comparison._tested(found, [benchmark])
    low, high = (float(number) for number in re.search(r"\[(.+), (.+)\]", best).groups())
    assert best.startswith("own/J&F-Mean best: 65.0, 95 % interval [")
    assert 50 <= low < 65 < high <= 80
    assert worse.endswith("; against best: -10.0 [-10.0, -10.0], p 0.12")
    assert same.startswith("own/J&F-Mean same everywhere: 30.0, 95 % interval [30.0, 30.0]; against best: -35.0 [")
    assert other.endswith("]; another protocol than best, not tested")
    assert not list(comparison._tested({"best": found["best"]}, [benchmark]))
