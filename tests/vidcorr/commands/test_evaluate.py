"""`vidcorr evaluate`: networks × benchmarks in one table, each result once in a store, whatever stops or fails.

Also tests `reports/evaluation.py`.
"""

import os
import random
import re
import subprocess
import sys
import time
from contextlib import nullcontext
from unittest.mock import Mock

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr.cli import main
from vidcorr.datasets import Davis
from vidcorr.datasets.generated import write_davis
from vidcorr.results.records import results_below
from vidcorr.results.result import Network, Row
from vidcorr.videos.files import DataError

BLOCKY = "tests.helpers.encoders:Blocky"


UNKNOWN = "'zzz': neither a run, a checkpoint nor a short name, such as timm:NAME"
EARLY = {
    "evaluate raw_colour --on davis=nowhere/davis": (1, "--on davis=nowhere/davis: there is no such file or folder"),
    "fit --on davis=x --model zzz": (2, UNKNOWN),
    "validate --model=zzz": (2, UNKNOWN),
    "export zzz a.safetensors": (2, UNKNOWN),
    "predict tests --box 1,2,3,4": (1, "tests: expected a video file, or a folder of frames"),
}
"""Words → status and message."""


@pytest.mark.parametrize("line", EARLY)
@pytest.mark.sampled(2)
def test_what_words_alone_show_is_told_before_torch_is_imported(line):
    code = "import atexit, sys; from vidcorr.commands import main; "
    code += "atexit.register(lambda: print('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}; main({line.split()})"], capture_output=True, text=True)
    status, message = EARLY[line]
    assert (done.returncode, done.stdout, done.stderr) == (status, "False\n", f"vidcorr: {message}\n")


def test_words_become_jobs_of_all_networks_on_all_benchmarks(monkeypatch, tmp_path):
    ran = Mock(side_effect=lambda jobs, output: nullcontext({}))
    monkeypatch.setattr("vidcorr.experiments.reports.evaluation.run_missing", ran)
    monkeypatch.chdir(tmp_path)
    for folder in "DJ":
        (tmp_path / folder).mkdir()
    drawn = "tests.helpers.encoders:Wrapped"
    words = ["evaluate", "torchvision:resnet18", drawn, "raw_colour", "raw_colour"]
    words += ["--on", "davis=D", "jhmdb=J", "--limit=2"]
    main([*words, "--seeds", "3", "4", "--base", "dino-s8", "--output", str(tmp_path)])
    jobs, output = ran.call_args.args
    assert output == tmp_path
    networks = [("torchvision:resnet18", 3), ("torchvision:resnet18", 4), (drawn, 3), (drawn, 4)]
    networks += [("raw_colour", None), ("dino-s8", None)]
    found = [(job.network.text, job.network.seed if job.network.is_random else None) for job in jobs]
    assert found == [network for network in networks for _ in range(2)]
    assert [job.benchmark.name for job in jobs] == ["davis", "jhmdb"] * 6
    assert {job.benchmark.limit_sequences for job in jobs} == {2}
    assert not any(job.network.pretrained for job in jobs if job.network.is_random)
    main([*words, "--pretrained", "--base", "torchvision:resnet50"])
    jobs, _ = ran.call_args.args
    assert (len(jobs), jobs[0].network.pretrained) == (8, True)


def test_its_base_is_the_row_of_that_network_and_seeds_of_random_weights_are_seeds(davis_root, monkeypatch, capsys):
    """Their spread is in the interval of a difference."""

    def scored(jobs, output):
        found = {}
        for job in jobs:
            seed = job.network.seed if job.network.is_random else None
            rows = []
            for n in range(5):
                rows.append(Row(video=str(n), object="1", values={"J-Mean": 0.5 + 0.01 * (n + 3 * (seed or 0))}))
            network = Network(name=job.network.name, seed=seed, loaded=seed is None)
            found[job] = davis_result({"J-Mean": 0.52 + 0.03 * (seed or 0)}, network=network, rows=rows)
        return nullcontext(found)

    monkeypatch.setattr("vidcorr.experiments.reports.evaluation.run_missing", scored)
    main(["evaluate", "raw_colour", "--base", "untrained", "--seeds", "0", "1", "2", "--on", f"davis={davis_root}"])
    said = capsys.readouterr().out
    assert "Differences are from untrained, random weights." in said
    assert re.search(r"\| raw_colour \| .*52\.0.*; −3\.0 \[", said)
    assert "| untrained, random weights | **55.0** ± 3.0 [" in said


@pytest.mark.slow
def test_the_processes_of_torchrun_share_the_sequences(davis_root, tmp_path):
    words = ["evaluate", "raw_colour", "--on", f"davis={davis_root}", "--change", "radius=3", "--output", str(tmp_path)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    said = subprocess.run([*torchrun, "cli.py", *words], capture_output=True, text=True, check=True).stderr
    assert [result.ranks for result in results_below(tmp_path).values()] == [2]
    assert said.count("[1/1] raw_colour on davis") == 1  # only the first rank prints


def test_videos_in_the_place_of_a_resolution_are_told(here):
    write_davis("d", 1, frames=3)
    for kind in ("JPEGImages", "Annotations"):
        (here / "d" / kind / "480p").rename(here / "d" / f"{kind}s")
        (here / "d" / kind).rmdir()
        (here / "d" / f"{kind}s").rename(here / "d" / kind)
    refused(DataError, "d: holds a data set, for --on vos=FOLDER; expected frames in JPEGImages/480p", Davis, "d")


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_stopped_and_equal_commands_share_a_folder(davis_root, tmp_path):
    """Killed at a random place, then begun again by two processes at once: each result is made once."""
    words = ["evaluate", "raw_colour", BLOCKY, "tests.helpers.encoders:Wrapped"]
    words += f"--on davis={davis_root} --change radius=3 topk=5,7 --limit 1 --output {tmp_path}".split()
    command = [sys.executable, "-m", "vidcorr.cli", *words]

    def start():
        environment = os.environ | {"PYTHONWARNINGS": "error"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def results():
        """Return file → content of the results that count: one of own code does once it names the code."""
        found = {path: path.read_bytes() for path in tmp_path.glob("*/results.json")}
        return {path: text for path, text in found.items() if b'"own_code": ""' not in text or b'"raw_colour"' in text}

    seed = random.randrange(1000)
    moment = random.Random(seed)
    count, delay = moment.randrange(1, 5), moment.random()
    killed = start()
    while len(results()) < count:
        time.sleep(0.02)
    time.sleep(delay)
    killed.kill()
    killed.communicate()
    before = results()
    assert before, seed
    both = [start(), start()]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(results()) == 6
    assert {path: results()[path] for path in before} == before, seed
    begun = re.findall(r"(?m)^\[\d/6\] .* on (?=davis)", "".join(said))
    assert len(begun) == 6 - len(before), (seed, said)
    # a process that looks at a result holds its folder
    assert len(re.findall("(?m)reused, made on|running elsewhere$", "".join(said))) >= 2 * len(before)
