"""Benchmarks by name and folder, protocols and changes for them; a mistake is told at once, without torch."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, JhmdbBenchmark, TapVidBenchmark, YoutubeVosBenchmark
from vidcorr.benchmarks.network import NetworkSpec
from vidcorr.errors import UsageError
from vidcorr.experiments.config_files import read_yaml
from vidcorr.experiments.configured import read_changes, read_on, views_of
from vidcorr.experiments.protocol_choice import protocols_of

CLI = Path(__file__).resolve().parents[3] / "cli.py"


def test_every_config_of_a_benchmark_is_known_by_its_name(tmp_path):
    names = [path.stem for path in sorted((CLI.parent / "configs/benchmarks").glob("*.yaml"))]
    found = read_on([f"{name}={tmp_path}" for name in names])
    assert {each.name for each in found} == set(names)
    assert all(each.arguments["root"] == str(tmp_path) for each in found)


def test_other_files_of_the_data_are_looked_for_beside_the_folder(tmp_path):
    (tmp_path / "set/valid").mkdir(parents=True)
    (lvos,) = read_on([f"lvos={tmp_path}/set/valid"])
    assert lvos.arguments["meta"] == f"{tmp_path}/set/valid/valid_meta.json"
    assert lvos.arguments["unseen"] == f"{tmp_path}/set/valid/../unseen_videos.txt"


def test_a_config_of_the_users_or_a_class(tmp_path):
    config = tmp_path / "two.yaml"
    config.write_text(f"""
class_path: vidcorr.YoutubeVosBenchmark
init_args: {{root: {tmp_path}, split: holdout, stage: res4}}
every_n_epochs: 2
""")
    first, second = read_on([str(config), f"{__name__}.TimeOrder={tmp_path}"])
    youtube_vos, time_order = first.build(limit_sequences=3), second.build(stage="res3")
    assert isinstance(youtube_vos, YoutubeVosBenchmark)
    assert (youtube_vos.root, youtube_vos.stage, youtube_vos.limit_sequences) == (str(tmp_path), "res4", 3)
    assert (first.schedule, second.schedule) == ({"every_n_epochs": 2}, {})
    assert isinstance(time_order, TimeOrder)
    assert (time_order.root, time_order.stage) == (str(tmp_path), "res3")


def test_a_benchmark_by_its_class_writes_for_the_server_of_youtube_vos(tmp_path):
    by_class, by_config = read_on([f"vidcorr:YoutubeVosBenchmark={tmp_path}", f"youtube_vos={tmp_path}"])
    assert by_class.build().split == "valid"
    assert by_config.build().split == "holdout"


class TimeOrder(DavisBenchmark):
    """A user's own benchmark."""


def test_a_name_is_never_a_file_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("{class_path: DavisBenchmark, init_args: {protocol: crw}}")
    monkeypatch.chdir(tmp_path)
    (project,), (user,) = read_on(["davis=."]), read_on(["benchmarks/davis.yaml=."])
    assert project.arguments.get("protocol") != "crw"
    assert user.arguments["protocol"] == "crw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("davs=x", "--on davs=x: no benchmark davs; did you mean davis. there are badja, davis"),
        ("davis=nowhere", "--on davis=nowhere: nowhere: no such folder"),
        ("davs=x", "your own is module:Class=FOLDER or FILE.yaml=FOLDER$"),
        ("davis", "no such folder; write davis=FOLDER"),
        ("every_n_epochs: 3", "this has no class_path$"),
        ("trainer: {max_steps: 3}", "this has trainer$"),
        (
            "{class_path: DavisBenchmark, every_n_epoch: 3}",
            "has class_path, init_args, every_n_epochs, .* this has every_n_epoch$",
        ),
        ("a: [", "cannot be read"),
        ("class_path: my.Thing", "No module named 'my'"),
        ("class_path: DavidBenchmark", "DavidBenchmark"),
        ("class_path: callbacks.BestCheckpoint", "BestCheckpoint"),
        ("{class_path: DavisBenchmark, init_args: {root: ., rot: y}}", "has no option 'rot'; did you mean root"),
    ],
)
def test_mistakes_are_one_line(text, message, tmp_path):
    if ":" in text:
        (tmp_path / "config.yaml").write_text(text)
        text = str(tmp_path / "config.yaml")
    refused((UsageError, ValueError), message, lambda: [each.build() for each in read_on([text])])


LISTS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))
MERGES = "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9))


@pytest.mark.parametrize("text", [f"a0: &a0 [1]\n{LISTS}", f"a0: &a0 {{b: 1}}\n{MERGES}", "a: &a [*a]"])
def test_aliases_that_stand_for_gigabytes_are_refused(text, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    refused(UsageError, r"its aliases \(\*name\) stand for over 100000 values", read_yaml, config)
    config.write_text("a: &a [1, 2]\nb: [*a, *a]\nc: 1e-3")
    assert read_yaml(config) == {"a": [1, 2], "b": [[1, 2], [1, 2]], "c": 0.001}


def test_a_change_is_a_field_and_a_value():
    assert read_changes(["topk=5", "temperature=1e-3"]) == {"topk": 5, "temperature": 0.001}
    refused(UsageError, "--change topk: write FIELD=VALUE", read_changes, ["topk"])


def test_stages_and_strides_make_views_of_every_network():
    networks = [NetworkSpec.read("dino-s8"), NetworkSpec.read("raw_colour")]
    assert views_of(networks, [], []) == networks
    found = [(each.spec, each.stage, each.stride) for each in views_of(networks[1:], ["a", "b"], [4])]
    assert found == [("raw_colour", "a", 4), ("raw_colour", "b", 4)]


def test_a_protocol_goes_to_the_benchmarks_of_its_kind(capsys):
    benchmarks = [DavisBenchmark("x"), JhmdbBenchmark("x"), TapVidBenchmark("x")]
    found = protocols_of(benchmarks, ["dino"], {"topk": 7})
    names = [[protocol.name for protocol in of_one] for of_one in found]
    assert names == [["dino+topk=7"], ["vfs+topk=7"], ["vidcorr+topk=7"]]
    kept = "jhmdb keeps its protocol, vfs: dino has no values for it"
    assert capsys.readouterr().out.splitlines() == [kept, kept.replace("jhmdb", "tap_vid").replace("vfs", "vidcorr")]
    assert [len(of_one) for of_one in protocols_of(benchmarks, ["crw", "vfs", "fomo"])] == [2, 2, 1]
    for names, message in {
        ("dio",): "^--protocol dio: no benchmark here takes it; known are .*dino",
        ("vfs+topq=7",): "^protocol 'vfs\\+topq=7': a protocol has no field 'topq'; did you mean topk",
        ("dino+topq=7", "crw"): "^protocol 'dino\\+topq=7': a protocol has no field 'topq'",
    }.items():
        refused(ValueError, message, protocols_of, benchmarks, names)
    refused(ValueError, "^--protocol dino: no benchmark here takes it; known", protocols_of, benchmarks[1:], ["dino"])
    refused(
        ValueError,
        "--change topq: the protocol of davis has no field 'topq'; did you mean topk",
        protocols_of,
        benchmarks,
        [],
        {"topq": 7},
    )


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
