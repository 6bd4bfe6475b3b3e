"""Benchmarks by name and folder, protocols and changes for them; a mistake is told at once, without torch."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, JhmdbBenchmark, TapVidBenchmark, YoutubeVosBenchmark
from vidcorr.errors import UsageError
from vidcorr.experiments.configured import protocols_of, read_changes, read_on

CLI = Path(__file__).resolve().parents[3] / "cli.py"


def test_every_config_of_a_benchmark_is_known_by_its_name(tmp_path):
    names = [path.stem for path in sorted((CLI.parent / "configs/benchmarks").glob("*.yaml"))]
    found = read_on([f"{name}={tmp_path}" for name in names])
    assert {each.name for each in found} == set(names)
    assert all(each.arguments["root"] == str(tmp_path) for each in found)
    assert not any("stage" in each.arguments for each in found)


def test_other_files_of_the_data_are_looked_for_beside_the_folder(tmp_path):
    (tmp_path / "set/valid").mkdir(parents=True)
    (lvos,) = read_on([f"lvos={tmp_path}/set/valid"])
    assert lvos.arguments["meta"] == f"{tmp_path}/set/valid/valid_meta.json"
    assert lvos.arguments["unseen"] == f"{tmp_path}/set/unseen_videos.txt"


def test_a_config_of_the_users(tmp_path, capsys):
    config = tmp_path / "two.yaml"
    config.write_text(f"""
trainer:
  callbacks+:
    - {{class_path: vidcorr.YoutubeVosBenchmark, init_args: {{root: {tmp_path}, split: holdout}}}}
    - {{class_path: DavisBenchmark, init_args: {{root: {tmp_path}, stage: res4}}}}
    - {{class_path: BestCheckpoint}}
""")
    youtube_vos, davis = (each.build(limit_sequences=3) for each in read_on([str(config)]))
    assert isinstance(youtube_vos, YoutubeVosBenchmark)
    assert isinstance(davis, DavisBenchmark)
    assert (davis.root, davis.stage, davis.limit_sequences) == (str(tmp_path), None, 3)
    told = capsys.readouterr().out.splitlines()
    assert told == [f"stage res4 of {config} left out; write NETWORK@STAGE or NETWORK@STAGE/STRIDE"]


def test_a_name_is_never_a_file_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    other = "trainer: {callbacks+: [{class_path: DavisBenchmark, init_args: {root: ., protocol: crw}}]}"
    (tmp_path / "benchmarks/davis.yaml").write_text(other)
    monkeypatch.chdir(tmp_path)
    (project,), (user,) = read_on(["davis=."]), read_on(["benchmarks/davis.yaml=."])
    assert project.arguments.get("protocol") != "crw"
    assert user.arguments["protocol"] == "crw"


def test_mistakes_are_one_line(tmp_path):
    refused(
        UsageError, "--on davs=x: no benchmark davs; did you mean davis. there are badja, davis", read_on, ["davs=x"]
    )
    refused(ValueError, "--on davis=nowhere: nowhere: no such folder$", read_on, ["davis=nowhere"])
    refused(ValueError, "no such folder; write davis=FOLDER", read_on, ["davis"])
    refused(UsageError, "--change topk: write FIELD=VALUE", read_changes, ["topk"])
    config = tmp_path / "config.yaml"
    for text, message in {
        "trainer: {callbacks+: [{class_path: BestCheckpoint}]}": "names no benchmark",
        "trainer: 3": "names no benchmark",
        "a: [": "cannot be read",
        "trainer: {callbacks: [{class_path: my.Thing}]}": "my.Thing is not a benchmark",
        "trainer: {callbacks: [{class_path: DavisBenchmark, init_args: {root: ., rot: y}}]}": "has no argument 'rot'",
    }.items():
        config.write_text(text)
        assert refused((UsageError, ValueError), message, lambda: [each.build() for each in read_on([str(config)])])


def test_a_protocol_goes_to_the_benchmarks_of_its_kind(capsys):
    benchmarks = [DavisBenchmark("x"), JhmdbBenchmark("x"), TapVidBenchmark("x")]
    found = protocols_of(benchmarks, ["dino"], {"topk": 7})
    names = [[protocol.name for protocol in of_one] for of_one in found]
    assert names == [["dino+topk=7"], ["vfs+topk=7"], ["vidcorr+topk=7"]]
    kept = "jhmdb keeps its protocol, vfs: dino has no values for it"
    assert capsys.readouterr().out.splitlines() == [kept, kept.replace("jhmdb", "tap_vid").replace("vfs", "vidcorr")]
    assert [len(of_one) for of_one in protocols_of(benchmarks, ["crw", "vfs", "fomo"])] == [2, 2, 1]
    for names, message in {
        ("dio",): "^--protocol dio: no benchmark here takes it; did you mean dino",
        ("vfs+topq=7",): "^protocol 'vfs\\+topq=7': a protocol has no field 'topq'; did you mean topk",
        ("dino+topq=7", "crw"): "^protocol 'dino\\+topq=7': a protocol has no field 'topq'",
    }.items():
        refused(ValueError, message, protocols_of, benchmarks, names)
    refused(ValueError, "^--protocol dino: no benchmark here takes it; known", protocols_of, benchmarks[1:], ["dino"])
    assert not capsys.readouterr().out
    refused(ValueError, "--change topq: a protocol has no field 'topq'", protocols_of, benchmarks, [], {"topq": 7})


@pytest.mark.parametrize("command", ["evaluate raw_colour", "sweep raw_colour", "reproduce"])
def test_a_missing_folder_is_refused_without_torch(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    words = [sys.executable, "-X", "importtime", str(CLI), *command.split(), "--on", "davis=/nowhere"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "vidcorr: --on davis=/nowhere: /nowhere: no such folder" in ended.stderr
    assert ended.returncode == 1
    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time")}
    assert not modules & {"torch", "pytorch_lightning", "torchmetrics"}
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 4
