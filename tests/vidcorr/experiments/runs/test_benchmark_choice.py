"""Benchmarks by name and folder; protocols, changes, stages and strides for them, several of which are several runs.

Also tests `runs/flags.py`.
"""

from tests.helpers.refusal import refused
from tests.helpers.words import chosen
from vidcorr import DavisBenchmark, YoutubeVosBenchmark
from vidcorr.errors import UsageError
from vidcorr.experiments.runs.benchmark_choice import read_on
from vidcorr.experiments.runs.flags import positive
from vidcorr.videos.files import DataError


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
    assert (first.schedule, second.schedule) == ({"every_n_epochs": 2}, {})
    assert isinstance(time_order, TimeOrder)
    assert (time_order.root, time_order.name) == (str(tmp_path), "time_order")


def test_a_name_is_never_a_file_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("{class_path: DavisBenchmark, init_args: {protocol: crw}}")
    monkeypatch.chdir(tmp_path)
    (project,), (user,) = read_on(["davis=."]), read_on(["benchmarks/davis.yaml=."])
    assert (project.arguments["protocol"], user.arguments["protocol"]) == ("vfs", "crw")


def test_several_values_are_several_benchmarks_with_names_of_their_own(recorded):
    found = {}
    for words in recorded["several"]:
        benchmarks = [choice.build() for choice in chosen("--on", *words.split())]
        found[words] = [[each.name, each.protocol.name, each.stage, each.stride] for each in benchmarks]
    assert found == recorded["several"]


def test_what_cannot_be_chosen_is_one_line(tmp_path, recorded):
    def build(words):
        return [choice.build() for choice in chosen(*words.split())]

    for words, message in recorded["refused"]:
        refused((UsageError, ValueError), message, build, words)
    refused(SystemExit, "^2$", chosen, "--limit=0")
    assert positive("1") == 1
    config = tmp_path / "config.yaml"
    for content, said in (
        ("{class_path: DavisBenchmark, every_n_epoch: 3}", "this has class_path, every_n_epoch$"),
        ("- davis", "config.yaml holds no options"),
    ):
        config.write_text(content)
        refused(UsageError, said, chosen, "--on", config)
    config.write_bytes(b"\xff")
    refused(DataError, "config.yaml: not text in UTF-8", chosen, "--on", config)
