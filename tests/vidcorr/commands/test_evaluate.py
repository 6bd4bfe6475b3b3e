"""`vidcorr evaluate`: networks × benchmarks in one table, each result once in a store, whatever stops or fails."""

import subprocess
import sys
from unittest.mock import Mock

import pytest

from tests.helpers.refusal import refused
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark, evaluate
from vidcorr.backbones import build_feature_extractor
from vidcorr.cli import main
from vidcorr.results.records import results_below
from vidcorr.videos.files import DataError

BLOCKY = "tests.helpers.encoders:Blocky"


def test_words_become_jobs_of_all_networks_on_all_benchmarks(monkeypatch, tmp_path):
    ran = Mock()
    monkeypatch.setattr("vidcorr.experiments.evaluate.run_jobs", ran)
    words = ["evaluate", "torchvision:resnet18", "raw_colour", "raw_colour", "--on", "davis=D", "jhmdb=J", "--limit=2"]
    main([*words, "--seeds", "3", "4", "--base", "dino-s8", "--output", str(tmp_path)])
    jobs, output, base = ran.call_args.args
    assert (output, base) == (tmp_path, "dino-s8")
    networks = [("torchvision:resnet18", 3), ("torchvision:resnet18", 4), ("raw_colour", None), ("dino-s8", None)]
    found = [(job.network.text, job.network.seed if job.network.is_random else None) for job in jobs]
    assert found == [network for network in networks for _ in range(2)]
    assert [job.benchmark.name for job in jobs] == ["davis", "jhmdb"] * 4
    assert {job.benchmark.limit_sequences for job in jobs} == {2}
    assert not any(job.network.pretrained for job in jobs if job.network.is_random)
    main([*words, "--pretrained", "--base", "torchvision:resnet50"])
    jobs, _, base = ran.call_args.args
    assert (len(jobs), base, jobs[0].network.pretrained) == (6, "torchvision:resnet50", True)


@pytest.mark.slow
def test_scores_equal_the_benchmark_alone_and_are_not_computed_twice(davis_root, tmp_path, capsys):
    davis = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    table = evaluate([BLOCKY, "raw_colour"], [davis], tmp_path)
    alone = davis.evaluate(build_feature_extractor(BLOCKY)).scores
    assert table.cells[0].mean == alone["J&F-Mean"]
    assert all((folder / "report.html").is_file() for folder in results_below(tmp_path))
    capsys.readouterr()
    evaluate([BLOCKY, "raw_colour"], [davis], tmp_path)  # the user's network is run again
    said = capsys.readouterr().out
    assert said.count("raw_colour on davis by vfs+context=2+radius=3: reused, made on 2") == said.count("reused") == 1


@pytest.mark.slow
def test_the_processes_of_torchrun_share_the_sequences(davis_root, tmp_path):
    words = ["evaluate", "raw_colour", "--on", f"davis={davis_root}", "--change", "radius=3", "--output", str(tmp_path)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    said = subprocess.run([*torchrun, "cli.py", *words], capture_output=True, text=True, check=True).stdout
    assert [result.ranks for result in results_below(tmp_path).values()] == [2]
    assert said.count("[1/1] raw_colour on davis") == 1  # only the first rank prints


def test_mistakes_are_told_before_any_work(davis_root, tmp_path):
    assert "--on davis=/data/DAVIS" in refusal("evaluate", "raw_colour")
    refused(DataError, "No such file", evaluate, [BLOCKY], [DavisBenchmark(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "file").write_text("")
    refused(OSError, "file", evaluate, [BLOCKY], [DavisBenchmark(davis_root)], tmp_path / "file" / "out")
    assert not (tmp_path / "out").exists()
