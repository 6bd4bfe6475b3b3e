"""`vidcorr generate`: every layout is read by its reader, by the command that it names.

Also tests `generated/layouts.py`, `datasets/small_sets.py`, `datasets/layout.py`.
"""

import shlex

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands import run_command
from vidcorr.datasets import generated
from vidcorr.datasets.layout import layout_of
from vidcorr.datasets.small_sets import LAYOUTS
from vidcorr.errors import UsageError
from vidcorr.experiments.runs.benchmark_choice import read_on
from vidcorr.videos.files import DataError
from vidcorr.videos.source import list_videos


def test_a_layout_is_written_with_its_numbers_and_its_benchmarks_are_named(tmp_path, monkeypatch, capsys, recorded):
    written = {}

    def write(folder, videos, *, frames, first, size="its own"):
        assert (first == 0) == (folder.name == "videos")
        written[folder.name] = f"{videos} x {frames}, {size}"
        return folder

    for name in LAYOUTS:
        monkeypatch.setattr(generated, f"write_{name}", write)
    run_command(["generate", str(tmp_path)])
    assert written == recorded
    said = capsys.readouterr().out
    assert said.startswith(f"7 data sets in {tmp_path}; vidcorr evaluate raw_colour --on davis={tmp_path}/davis jhmdb=")
    assert f" otb_all={tmp_path}/otb " in said
    run_command(["generate", str(tmp_path), "videos", "videos"])
    assert capsys.readouterr().out == f"1 data sets in {tmp_path}\n"
    refused(ValueError, "layout must be one of .*'davis'", run_command, ["generate", str(tmp_path), "nothing"])


LAYOUT_OF = {
    "davis": "a data set, for --on davis=FOLDER",
    "davis/JPEGImages/480p": "frames of videos, for --data.source",
    "davis/Annotations": "masks of videos, for vidcorr score",
    "davis/Annotations/480p/synthetic-000": "masks of a video, for vidcorr score",
    "youtube_vos": "a data set, for --on youtube_vos=FOLDER",
    "videos": "films, for --data.source",
    "tap_vid": "",
}
"""Folder → what it is."""


def test_a_folder_is_told_by_its_names_and_a_picture(tmp_path):
    run_command(["generate", str(tmp_path), "davis", "youtube_vos", "videos", "tap_vid"])
    assert {name: layout_of(tmp_path / name) for name in LAYOUT_OF} == LAYOUT_OF
    for file, layout in {"result/results.json": "results of vidcorr", "run/run.json": "a run, for --model"}.items():
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
        (tmp_path / file).with_name("report.html").touch()
        assert layout_of((tmp_path / file).parent) == layout
    for words in (["score", f"{tmp_path}/davis", "masks"], ["evaluate", f"{tmp_path}/davis", "--on=davis=x"]):
        refused((DataError, UsageError), "davis: holds a data set, for --on davis=FOLDER", run_command, words)


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path, capsys):
    run_command(["generate", str(tmp_path)])
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"davis={tmp_path / 'davis'}"]
    found = {choice.config: len(choice.build().sequences) for choice in read_on(words[4:])}
    found["videos"] = len(list_videos(tmp_path / "videos").entries)
    assert found.keys() == {layout.benchmark or name for name, layout in LAYOUTS.items()}
    assert min(found.values()) >= 2
