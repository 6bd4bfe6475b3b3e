"""`vidcorr generate`: every layout is read by its reader, by the command that it names.

Also tests `generated/layouts.py`, `datasets/small_sets.py`.
"""

import shlex

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands import run_command
from vidcorr.datasets import generated
from vidcorr.datasets.small_sets import LAYOUTS
from vidcorr.experiments.runs.benchmark_choice import read_on
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


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path, capsys):
    run_command(["generate", str(tmp_path)])
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"davis={tmp_path / 'davis'}"]
    found = {choice.config: len(choice.build().sequences) for choice in read_on(words[4:])}
    found["videos"] = len(list_videos(tmp_path / "videos").entries)
    assert found.keys() == {layout.benchmark or name for name, layout in LAYOUTS.items()}
    assert min(found.values()) >= 2
