"""Benchmarks by name and folder; protocols, changes, stages and strides for them, several of which are several runs."""

from dataclasses import replace

import pytest

from tests.helpers.refusal import refused
from tests.helpers.words import chosen
from vidcorr import DavisBenchmark, YoutubeVosBenchmark
from vidcorr.errors import UsageError
from vidcorr.experiments.benchmark_choice import read_changes, read_on


def test_other_files_of_the_data_are_looked_for_beside_the_folder(tmp_path):
    (tmp_path / "set/valid").mkdir(parents=True)
    (lvos,) = read_on([f"lvos={tmp_path}/set/valid"])
    assert lvos.arguments["meta"] == f"{tmp_path}/set/valid/valid_meta.json"
    assert lvos.arguments["unseen"] == f"{tmp_path}/set/valid/../unseen_videos.txt"


class TimeOrder(DavisBenchmark):
    """A user's own benchmark."""

    name = "time_order"


def test_a_config_of_the_users_or_a_class(tmp_path):
    config = tmp_path / "two.yaml"
    arguments = f"{{root: {tmp_path}, split: holdout, stage: res4, limit_sequences: 3}}"
    config.write_text(f"{{class_path: vidcorr.YoutubeVosBenchmark, init_args: {arguments}, every_n_epochs: 2}}")
    first, second = chosen("--on", config, "--on", f"{__name__}.TimeOrder={tmp_path}")
    youtube_vos, time_order = first.build(), second.build()
    assert isinstance(youtube_vos, YoutubeVosBenchmark)
    assert (youtube_vos.root, youtube_vos.stage, youtube_vos.limit_sequences) == (str(tmp_path), "res4", 3)
    assert replace(first, arguments={"changes": {"topk": 1}}).with_arguments(protocol="a").arguments == {
        "protocol": "a"
    }
    assert (first.schedule, second.schedule) == ({"every_n_epochs": 2}, {})
    assert isinstance(time_order, TimeOrder)
    assert (time_order.root, time_order.name) == (str(tmp_path), "time_order")


def test_a_name_is_never_a_file_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("{class_path: DavisBenchmark, init_args: {protocol: crw}}")
    monkeypatch.chdir(tmp_path)
    (project,), (user,) = read_on(["davis=."]), read_on(["benchmarks/davis.yaml=."])
    assert (project.arguments["protocol"], user.arguments["protocol"]) == ("vfs", "crw")


def test_several_values_are_several_benchmarks_with_names_of_their_own():
    several = ["--change", "radius=3,6", "--change", "topk=5", "--stage", "res3", "res4"]
    found = [choice.build() for choice in chosen("--on", "davis=.", *several)]
    assert {each.name: (each.protocol.name, each.stage) for each in found} == {
        "davis/radius=3/res3": ("vfs+radius=3+topk=5", "res3"),
        "davis/radius=6/res3": ("vfs+radius=6+topk=5", "res3"),
        "davis/radius=3/res4": ("vfs+radius=3+topk=5", "res4"),
        "davis/radius=6/res4": ("vfs+radius=6+topk=5", "res4"),
    }
    found = [choice.build() for choice in chosen("--on", "davis_blocks_r18=.", "--protocol", "vfs", "crw")]
    assert [each.name for each in found[3:5]] == ["davis/vfs/res5.b2", "davis/crw/res4.b1"]
    (one,) = chosen("--on", "davis_blocks_r18=.", "--stage", "res4", "--stride", "4")
    assert (one.build().name, one.build().stage, one.build().stride) == ("davis", "res4", 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--change topk=7", "^--change: name a benchmark"),
        ("--on davs=.", "^--on davs: there is no such benchmark; there are badja, davis"),
        ("--on davis=. jhmdb=. --protocol dino", "^--on jhmdb: .*'dino' defines no values for 'jhmdb'"),
        ("--on davis=. --change topq=7", "^--on davis: .*PropagationProtocol has no field 'topq'"),
        ("--on davis=. --change topk=7 topk=8", "^--change topk=8: write each field once"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(words, message):
    refused((UsageError, ValueError), message, lambda: [each.build() for each in chosen(*words.split())])


def test_a_config_of_another_form_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("{class_path: DavisBenchmark, every_n_epoch: 3}")
    refused(UsageError, "this has class_path, every_n_epoch$", chosen, "--on", tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("- davis\n")
    refused(UsageError, "config.yaml holds no options", chosen, "--on", tmp_path / "config.yaml")


def test_a_change_is_a_field_and_its_values():
    assert read_changes(["topk=5", "temperature=1e-3", "references=[0, -1]"]) == {
        "topk": [5],
        "temperature": [0.001],
        "references": [[0, -1]],
    }
