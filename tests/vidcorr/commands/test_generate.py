"""`vidcorr generate`: every layout is read by its reader.

Also tests `generated/layouts.py`, `generated/surfaces.py`.
"""

import os
import shlex
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr.commands.generate import LAYOUTS, command
from vidcorr.datasets import generated
from vidcorr.datasets.got10k import list_sequences
from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.videos.source import list_videos


def counts(folder: Path, on: list[str]) -> dict[str, int]:
    """Return layout → number of items that its benchmark, or its training, reads."""
    found = {choice.config: len(choice.build().sequences) for choice in read_on(on)}
    sequences, videos = list_sequences(folder / "got10k", "train"), list_videos(folder / "videos")
    return found | {"got10k": len(sequences), "videos": len(videos)}


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([str(tmp_path / "all")])
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"badja={tmp_path / 'all' / 'badja'}"]
    before = counts(tmp_path / "all", words[4:])
    assert before.keys() == {layout.config or name for name, layout in LAYOUTS.items()}
    assert min(before.values()) >= 2
    folders = [folder for folder in (tmp_path / "all").rglob("*") if folder.is_dir()]
    for folder in folders:
        for suffix in {file.suffix for file in folder.iterdir() if file.is_file()}:
            os.mkfifo(folder / f"zzzz{suffix}")  # reading it would never end
            (folder / f"zzzy{suffix}").symlink_to(folder / f"zzzz{suffix}")
    assert counts(tmp_path / "all", words[4:]) == before


def test_a_layout_is_written_with_its_numbers_and_its_benchmarks_are_named(tmp_path, monkeypatch, capsys) -> None:
    written = {}
    for name in LAYOUTS:

        def write(folder, videos, *, frames, size="its own", name=name):
            written[name] = f"{videos} x {frames}, {size}"
            return folder

        monkeypatch.setattr(generated, f"write_{name}", write)
    command([str(tmp_path)])
    assert written == {
        **dict.fromkeys(("badja", "davis"), "2 x 6, (64, 64)"),
        **dict.fromkeys(("soco", "spair", "tap_vid"), "2 x 8, (64, 64)"),
        **dict.fromkeys(("got10k", "navi", "otb"), "2 x 8, its own"),
        "jhmdb": "2 x 6, its own",
        "scannet": "2 x 3, its own",
        "vip": "2 x 4, its own",
        "videos": "6 x 8, (64, 64)",
        "youtube_vos": "8 x 11, (64, 64)",
    }
    said = capsys.readouterr().out
    assert said.startswith(
        f"13 data sets in {tmp_path}; vidcorr evaluate raw_colour --on badja={tmp_path}/badja davis="
    )
    assert f" otb_all={tmp_path}/otb " in said
    command([str(tmp_path), "videos", "got10k", "videos"])
    assert capsys.readouterr().out == f"2 data sets in {tmp_path}\n"
    refused(ValueError, "layout must be one of .*'badja'", command, [str(tmp_path), "nothing"])
