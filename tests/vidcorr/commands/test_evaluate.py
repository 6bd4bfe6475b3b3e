"""`vidcorr evaluate`: networks × benchmarks in one table, each result once in a store, whatever stops or fails."""

import csv
import json
import re
from dataclasses import replace

import pytest
import torch

from cli import main
from tests.helpers.folders import held
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark, Result, evaluate
from vidcorr.backbones import build_feature_extractor
from vidcorr.benchmarks.network import NetworkSpec
from vidcorr.datasets.generated import write_davis, write_tap_vid
from vidcorr.experiments.evaluate import Job, Runner
from vidcorr.results.records import results_below
from vidcorr.videos.files import DataError

BLOCKY = "tests.helpers.encoders:Blocky"
TINY = "tests.helpers.encoders:TinyResNet"
CHANGES = [f"{field}={value}" for field, value in SMALL.items()]


def table_of(folder):
    return {row["row"]: row for row in csv.DictReader((folder / "table.csv").open()) if "J&F" in row["column"]}


@pytest.fixture
def davis(davis_root):
    return DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)


@pytest.mark.slow
def test_scores_equal_each_benchmark_alone_and_are_not_computed_twice(davis, tmp_path, evaluated, capsys):
    table = evaluate([BLOCKY, TINY], [davis], tmp_path)
    torch.manual_seed(0)
    alone = davis.evaluate(build_feature_extractor(TINY)).scores
    (head,) = (head for head in table.heads if "J&F" in head)
    assert table.rows[f"{TINY}, stride 8"][head].mean == alone["J&F-Mean"]
    assert float(table_of(tmp_path)[f"{TINY}, stride 8"]["mean"]) == alone["J&F-Mean"]
    title = table.columns[head].title
    assert f"## {title}\n" in (tmp_path / "table.md").read_text()
    results = results_below(tmp_path)
    assert {result.network.name for result in results.values()} == {BLOCKY, TINY}
    assert all((folder / "report.html").is_file() for folder in results)
    assert "[2/2]" in capsys.readouterr().out
    del evaluated[:]
    for computed in (2, 1):  # the user's network is run again, raw colour is not
        assert evaluate([TINY, "raw_colour"], [davis], tmp_path).heads == table.heads
        assert evaluated == [["vfs+context=2+radius=3"]] * computed
        del evaluated[:]
    main(["table", str(tmp_path)])
    assert f"| {BLOCKY}, stride 4, normalised by itself |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_job_that_fails_is_named_and_the_others_are_done(davis, tmp_path, capsys):
    class Failing(DavisBenchmark):
        def score(self, *args):
            raise RuntimeError("out of\nmemory")

    second = Failing(davis.root, changes=SMALL, limit_sequences=2, name="second")

    message = "2 failed: raw_colour on second by .*: RuntimeError: out of memory; .*Blocky on second by "
    refused(ValueError, message, evaluate, ["raw_colour", BLOCKY], [second, davis], tmp_path)
    assert list(table_of(tmp_path)) == ["raw_colour, stride 8", f"{BLOCKY}, stride 4, normalised by itself"]


@pytest.mark.parametrize("network", [f"{TINY}@res9", "torchvision:resnet19", "nowhere.ckpt"])
def test_a_network_that_cannot_be_built_is_told_before_any_work(network, davis, tmp_path, evaluated):
    assert refused(ValueError, network.rpartition(":")[2], evaluate, [network], [davis], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_other_networks_run_where_one_cannot_be_built(davis, tmp_path):
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"no checkpoint")
    networks = ["nowhere.ckpt", str(damaged), "raw_colour"]
    refused(ValueError, "2 failed: nowhere.ckpt on davis by", evaluate, networks, [davis], tmp_path)
    assert list(table_of(tmp_path)) == ["raw_colour"]


def test_one_benchmark_on_two_folders_is_refused_as_in_a_fit(tmp_path):
    """Their scores would stand in one cell as if they were seeds."""
    for number, name in enumerate(("clean", "blurred")):
        write_davis(tmp_path / name, 1, frames=3, size=(32, 32 + number))
    words = ("--on", f"davis={tmp_path / 'clean'}", f"davis={tmp_path / 'blurred'}", "--output", tmp_path / "out")
    assert "two benchmarks are called davis" in refusal("evaluate", "raw_colour", *words)
    both = [DavisBenchmark(tmp_path / name) for name in ("clean", "blurred")]
    refused(ValueError, "two benchmarks are called davis", evaluate, ["raw_colour"], both, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_full_disk_ends_the_command(davis, tmp_path, monkeypatch, evaluated):
    def full(self, folder):
        raise OSError(28, "No space left on device", str(folder / "results.json"))

    monkeypatch.setattr(Result, "save", full)
    message = "No space left .*/raw_colour-davis-.*/results.json"
    refused(OSError, message, evaluate, ["raw_colour", BLOCKY], [davis], tmp_path)
    assert len(evaluated) == 1


@pytest.mark.slow
def test_a_job_that_another_process_runs_is_left_to_it(davis, tmp_path, capsys):
    job = Job(NetworkSpec.read("raw_colour"), davis)
    note = f"Not in the table, because it runs elsewhere: {job.title}"
    with held(Runner(tmp_path).place(job)):
        table = evaluate(["raw_colour", BLOCKY], [davis], tmp_path)
        assert note in capsys.readouterr().out.partition("| J&F-Mean |")[2]
        assert note in (tmp_path / "table.md").read_text()
        evaluate(["raw_colour"], [davis], tmp_path)  # without a result of its own
        assert note in capsys.readouterr().out
    assert len(table.rows) == 1
    assert len(evaluate(["raw_colour", BLOCKY], [davis], tmp_path).rows) == 2
    assert "runs elsewhere" not in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_an_empty_result_is_run_again(davis, tmp_path, evaluated):
    evaluate(["raw_colour"], [davis], tmp_path)
    (file,) = tmp_path.glob("*/results.json")
    file.write_bytes(b"")
    assert len(evaluate(["raw_colour"], [davis], tmp_path).rows) == 1
    assert len(evaluated) == 2
    assert Result.load(file)


@pytest.mark.slow
def test_the_table_in_a_folder_keeps_networks_and_benchmarks_of_earlier_commands(davis, tmp_path, capsys):
    other = replace(davis, changes=SMALL | {"topk": 2})
    evaluate([BLOCKY, "raw_colour"], [davis], tmp_path)
    evaluate([TINY], [davis], tmp_path)
    table = evaluate(["raw_colour"], [other], tmp_path, base="raw_colour")
    assert len(table.rows) == 1
    assert "has the earlier results of the folder too" in capsys.readouterr().out
    text = (tmp_path / "table.md").read_text()
    assert text.count("\n| raw_colour, stride 8 | ") == 2
    assert all(f"\n| {name}, stride " in text for name in (BLOCKY, TINY))
    assert len(list(csv.DictReader((tmp_path / "table.csv").open()))) == 12  # four results of three scores


@pytest.mark.slow
def test_a_result_that_data_made_anew_replace_has_no_second_row(tmp_path, capsys):
    write_davis(tmp_path / "data", 1, frames=3, size=(32, 32))
    davis = DavisBenchmark(tmp_path / "data", changes=SMALL)
    evaluate(["raw_colour"], [davis], tmp_path / "out")
    (old,) = (path.parent.name for path in (tmp_path / "out").glob("*/results.json"))
    (mask, *_) = (tmp_path / "data").rglob("*.png")
    mask.write_bytes(mask.read_bytes() + b"\n")
    evaluate(["raw_colour"], [davis], tmp_path / "out")
    evaluate([BLOCKY], [davis], tmp_path / "out")
    text = (tmp_path / "out/table.md").read_text()
    assert text.count("\n| raw_colour, stride 8 | ") == 1
    assert f"Left out: {old}, made on " in text
    (tmp_path / "out/broken").mkdir()
    (tmp_path / "out/broken/results.json").write_text("{}")
    evaluate([BLOCKY], [davis], tmp_path / "out")
    assert "broken/results.json: is not a results.json" in capsys.readouterr().out


@pytest.mark.slow
def test_by_the_command_line(davis_root, tmp_path, capsys):
    points = write_tap_vid(tmp_path / "points", 1, frames=6, size=(64, 64))
    words = [
        BLOCKY,
        "raw_colour",
        "untrained",
        "--on",
        f"davis={davis_root}",
        f"tap_vid={points}",
        "--limit",
        "1",
        "--change",
        *CHANGES,
    ]
    main(["evaluate", *words, "--seeds", "3", "4", "--protocol", "crw", "--output", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "tap_vid keeps its protocol: crw has no values for it" in said
    rows = table_of(tmp_path / "out")
    assert [name.partition(",")[0] for name in rows] == [BLOCKY, "raw_colour", "untrained ResNet-18"]
    assert rows["untrained ResNet-18, stride 8"]["seeds"] == "3 4"
    assert next(iter(rows.values()))["conditions"].startswith("crw+context=2+radius=3, ")
    results = list(results_below(tmp_path / "out").values())
    assert sorted(result.benchmark for result in results) == ["davis"] * 4 + ["tap_vid"] * 4


def test_mistakes_are_told_before_any_work(davis_root, tmp_path):
    words = ("--on", f"davis={davis_root}", "--output", tmp_path / "out")
    assert "name a network" in refusal("evaluate", *words)
    assert "--on davis=/data/DAVIS" in refusal("evaluate", "raw_colour")
    refused(DataError, "no such folder", evaluate, [BLOCKY], [DavisBenchmark(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "file").write_text("")
    refused(OSError, "file", evaluate, [BLOCKY], [DavisBenchmark(davis_root)], tmp_path / "file" / "out")
    assert not list((tmp_path / "out").glob("*/results.json"))


@pytest.mark.slow
def test_the_base_is_a_row_of_its_own_where_no_network_is_it(davis_root, tmp_path):
    words = [BLOCKY, "--base", "raw_colour", "--on", f"davis={davis_root}", "--limit", "2", "--change", *CHANGES]
    main(["evaluate", *words, "--output", str(tmp_path)])
    rows = table_of(tmp_path)
    assert [row["difference"] != "" for row in rows.values()] == [True, False]


@pytest.mark.slow
def test_a_page_begins_with_the_base_and_names_rows_as_the_table_does(davis, tmp_path):
    evaluate([BLOCKY, TINY, "raw_colour"], [davis], tmp_path, base="raw_colour")
    for folder, result in results_below(tmp_path).items():
        text = (folder / "report.html").read_text()
        content = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
        names = [other["name"] for other in content["others"]]
        assert sorted([*names, result.network.name]) == sorted([BLOCKY, TINY, "raw_colour"])
        if result.network.name != "raw_colour":
            assert names[0] == "raw_colour"
        for figures in content["others"][0]["differences"].values():
            assert re.fullmatch(r"[+-]\d+\.\d", figures)
        assert "not tested: one sequence" in content["compared"]
