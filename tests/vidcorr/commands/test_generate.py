"""`vidcorr generate`: every layout is read by its reader.

Also tests `generated/layouts.py`, `generated/surfaces.py`.
"""

import shlex

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands.generate import LAYOUTS, command
from vidcorr.datasets import generated
from vidcorr.datasets.got10k import list_sequences
from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.videos.source import list_videos


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path, capsys):
    command([str(tmp_path)])
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"badja={tmp_path / 'badja'}"]
    found = {choice.config: len(choice.build().sequences) for choice in read_on(words[4:])}
    sequences, videos = list_sequences(tmp_path / "got10k", "train"), list_videos(tmp_path / "videos")
    found |= {"got10k": len(sequences), "videos": len(videos)}
    assert found.keys() == {layout.config or name for name, layout in LAYOUTS.items()}
    assert min(found.values()) >= 2


def test_a_layout_is_written_with_its_numbers_and_its_benchmarks_are_named(tmp_path, monkeypatch, capsys, recorded):
    written = {}

    def write(folder, videos, *, frames, size="its own"):
        written[folder.name] = f"{videos} x {frames}, {size}"
        return folder

    for name in LAYOUTS:
        monkeypatch.setattr(generated, f"write_{name}", write)
    command([str(tmp_path)])
    assert written == recorded
    said = capsys.readouterr().out
    assert said.startswith(
        f"13 data sets in {tmp_path}; vidcorr evaluate raw_colour --on badja={tmp_path}/badja davis="
    )
    assert f" otb_all={tmp_path}/otb " in said
    command([str(tmp_path), "videos", "got10k", "videos"])
    assert capsys.readouterr().out == f"2 data sets in {tmp_path}\n"
    refused(ValueError, "layout must be one of .*'badja'", command, [str(tmp_path), "nothing"])
