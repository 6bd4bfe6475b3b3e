"""`vidcorr generate`: every layout is read by its reader.

Also tests `generated/layouts.py`, `generated/surfaces.py`.
"""

import os
import shlex
from pathlib import Path

import pytest

from vidcorr.commands.generate import LAYOUTS, command
from vidcorr.datasets import Badja, Davis, Jhmdb, Otb, TapVid, Vip, YoutubeVos
from vidcorr.datasets.got10k import list_sequences
from vidcorr.datasets.navi import read_navi
from vidcorr.datasets.scannet import read_scannet
from vidcorr.datasets.soco import read_soco
from vidcorr.datasets.spair import read_spair
from vidcorr.experiments.benchmark_choice import read_on
from vidcorr.protocols import SurfaceProtocol
from vidcorr.videos.source import list_videos

READERS = {
    "badja": Badja,
    "davis": Davis,
    "got10k": lambda root: list_sequences(root, "train"),
    "jhmdb": Jhmdb,
    "navi": lambda root: read_navi(root, SurfaceProtocol.named("omniprobe")),
    "otb": lambda root: Otb(root, version=None),
    "scannet": read_scannet,
    "soco": read_soco,
    "spair": read_spair,
    "tap_vid": TapVid,
    "videos": list_videos,
    "vip": Vip,
    "youtube_vos": YoutubeVos,
}


@pytest.mark.slow
def test_all_layouts_are_read_by_their_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([str(tmp_path / "all")])
    assert READERS.keys() == LAYOUTS.keys()
    counts = {name: len(read(tmp_path / "all" / name)) for name, read in READERS.items()}
    assert min(counts.values()) >= 2
    folders = [folder for folder in (tmp_path / "all").rglob("*") if folder.is_dir()]
    for folder in folders:
        for suffix in {file.suffix for file in folder.iterdir() if file.is_file()}:
            os.mkfifo(folder / f"zzzz{suffix}")  # reading it would never end
            (folder / f"zzzy{suffix}").symlink_to(folder / f"zzzz{suffix}")
    assert counts == {name: len(read(tmp_path / "all" / name)) for name, read in READERS.items()}
    words = shlex.split(capsys.readouterr().out.partition("; ")[2])
    assert words[:5] == ["vidcorr", "evaluate", "raw_colour", "--on", f"badja={tmp_path / 'all' / 'badja'}"]
    assert all(benchmark.build().sequences for benchmark in read_on(words[4:]))
