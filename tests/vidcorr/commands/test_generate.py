"""`vidcorr generate`: every layout is read by its reader."""

import shlex
from pathlib import Path

import pytest

from vidcorr.commands.generate import LAYOUTS, command
from vidcorr.datasets import Badja, Davis, Jhmdb, Otb, TapVid, Vip, YoutubeVos
from vidcorr.datasets.got10k import list_sequences
from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.videos.source import list_videos

READERS = {
    "badja": Badja,
    "davis": Davis,
    "got10k": lambda root: list_sequences(root, "train"),
    "jhmdb": Jhmdb,
    "otb": lambda root: Otb(root, version=None),
    "tap_vid": TapVid,
    "videos": list_videos,
    "vip": Vip,
    "youtube_vos": YoutubeVos,
}


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([str(tmp_path / "all")])
    assert READERS.keys() == LAYOUTS.keys()
    assert all(len(read(tmp_path / "all" / name)) >= 2 for name, read in READERS.items())
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"badja={tmp_path / 'all' / 'badja'}"]
    assert all(benchmark.build().sequences for benchmark in read_on(words[4:]))
