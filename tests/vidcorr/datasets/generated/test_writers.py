"""The writers: same arguments, same bytes; nothing half written; a prefix of a video."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.datasets import generated as synthetic
from vidcorr.datasets.generated import write_videos
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.videos.files import DataError

SMALL = {"frames": 6, "size": (48, 64)}

ROOT = Path(__file__).parents[3]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("write", [getattr(synthetic, name) for name in dir(synthetic) if name.startswith("write_")])
def test_the_same_arguments_give_the_same_bytes(tmp_path, write):
    seeds = {"first": 3, "again": 3, "other": 4}
    made = {name: content(write(tmp_path / name, 2, seed=seed, **SMALL)) for name, seed in seeds.items()}
    assert made["first"] == made["again"] != made["other"]


@pytest.mark.slow
def test_videos_are_the_same_in_another_process_with_other_threads(tmp_path):
    code = (
        "import sys, cv2; cv2.setNumThreads(7)\n"
        "from vidcorr.datasets.generated import write_videos\n"
        "write_videos(sys.argv[1], 3, frames=14, size=(96, 128))"
    )
    environment = os.environ | {"MALLOC_PERTURB_": "165"}  # what malloc leaves in memory must not matter
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=ROOT, env=environment, check=True)
    here = content(write_videos(tmp_path / "c", 3, frames=14, size=(96, 128)))
    assert content(tmp_path / "a") == here
    assert b"Lavf" not in here["00000.mp4"]  # neither versions nor times
    assert b"threads=1 lookahead_threads=1" in here["00000.mp4"]


def test_finished_folder_is_reused_and_replaced_when_the_arguments_change(tmp_path):
    root = write_videos(tmp_path / "videos", 1, **SMALL)
    written = (root / "00000.mp4").stat().st_mtime_ns
    write_videos(root, 1, **SMALL)
    assert (root / "00000.mp4").stat().st_mtime_ns == written
    write_videos(root, 2, **SMALL)
    assert len(list(root.glob("*.mp4"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize("name", ["holiday.mp4", ".git"])
def test_a_folder_that_is_not_ours_is_refused(name, tmp_path):
    (tmp_path / name).write_text("mine")
    refused((DataError, OSError), str(tmp_path), write_videos, tmp_path, 1, **SMALL)
    assert (tmp_path / name).read_text() == "mine"


def test_same_arguments_same_video_and_fewer_frames_a_prefix():
    for whole, prefix in zip(Scenes(3, 7, 6, (64, 80)).render(0), Scenes(3, 7, 4, (64, 80)).render(0), strict=True):
        assert np.array_equal(whole[:4], prefix)
