"""The writers: the same arguments give the same bytes; other arguments, other files; nothing half written."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import SyntheticVideoDataModule
from datamodules.datasets import Davis, TapVid
from datamodules.reading.errors import DataError
from datamodules.synthetic import render_video, write_davis, write_got10k, write_otb, write_tap_vid, write_videos
from datamodules.synthetic.writers import Scenes, write_mp4
from tests.helpers.synthetic_layouts import write_jhmdb, write_vip, write_youtube_vos

SMALL: dict[str, Any] = {"frames": 6, "size": (48, 64)}

WRITERS = [
    write_davis, write_got10k, write_jhmdb, write_otb, write_tap_vid, write_videos, write_vip, write_youtube_vos
]  # fmt: skip

ROOT = Path(__file__).parents[3]


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def without_date(files: dict[str, bytes]) -> dict[str, bytes]:
    """savemat writes the time of day into the first 124 bytes."""
    return {name: data[124:] if name.endswith(".mat") else data for name, data in files.items()}


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, write: Callable[..., Path]) -> None:
    first, again, other = (
        content(write(tmp_path / name, 2, seed=seed, **SMALL)) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.keys() == again.keys()
    assert without_date(first) == without_date(again)
    assert without_date(first) != without_date(other)


def test_what_memory_holds_has_no_say_in_an_encoding(tmp_path: Path) -> None:
    """With x264's macroblock tree, about a third of these encodings differed from the others."""
    video, _ = Scenes(seed=3, **SMALL).render(0)

    def encoded(number: int) -> bytes:
        litter = [os.urandom(5000 + number) for _ in range(20)]
        write_mp4(tmp_path / f"{number}.mp4", video)
        del litter
        return (tmp_path / f"{number}.mp4").read_bytes()

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(encoded, range(60)))) == 1


@pytest.mark.slow
def test_videos_are_the_same_in_another_process_with_other_threads(tmp_path: Path) -> None:
    code = (
        "import sys, cv2; cv2.setNumThreads(7)\n"
        "from datamodules.synthetic import write_videos\n"
        "write_videos(sys.argv[1], 3, frames=14, size=(96, 128))"
    )
    for name, perturbed in (("a", "0"), ("b", "165")):  # what malloc leaves in memory must not matter
        environment = os.environ | {"MALLOC_PERTURB_": perturbed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], cwd=ROOT, env=environment, check=True)
    here = content(write_videos(tmp_path / "c", 3, frames=14, size=(96, 128)))
    assert content(tmp_path / "a") == content(tmp_path / "b") == here
    assert b"Lavf" not in here["00000.mp4"]  # neither versions nor times
    assert b"threads=1 lookahead_threads=1" in here["00000.mp4"]


@pytest.mark.parametrize("write", WRITERS)
def test_arguments_that_no_writer_has_are_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(TypeError, match="colour"):
        write(tmp_path / "a", 1, colour=True)
    assert not (tmp_path / "a").exists()


def test_the_data_module_makes_point_tracks_where_asked_for(tmp_path: Path) -> None:
    module = SyntheticVideoDataModule(
        tmp_path, videos=1, benchmark_videos=1, point_videos=2, frames_per_video=5, video_size=32, num_workers=0
    )
    module.prepare_data()
    videos = TapVid(tmp_path / "tap_vid")
    assert [len(video.points) for video in videos] == [24, 24]
    assert {video.num_frames for video in videos} == {5}


SMALL: dict[str, Any] = {"frames": 6, "size": (64, 80)}


def test_videos_are_h264_that_decodes(tmp_path: Path) -> None:
    import av

    root = write_videos(tmp_path / "videos", 2, **SMALL)
    assert sorted(path.name for path in root.glob("*.mp4")) == ["00000.mp4", "00001.mp4"]
    video, _ = render_video(0, 1, **SMALL)
    with av.open(str(root / "00001.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == video.shape
    assert np.abs(decoded.astype(int) - video).mean() < 12


def test_finished_folder_is_reused_and_replaced_when_the_arguments_change(tmp_path: Path) -> None:
    root = write_videos(tmp_path / "videos", 1, **SMALL)
    written = (root / "00000.mp4").stat().st_mtime_ns
    write_videos(root, 1, **SMALL)
    assert (root / "00000.mp4").stat().st_mtime_ns == written
    write_videos(root, 2, **SMALL)
    assert len(list(root.glob("*.mp4"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="not generated here"):
        write_videos(tmp_path, 1, **SMALL)
    assert (tmp_path / "holiday.mp4").exists()


def test_nothing_is_left_of_a_failed_generation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="high"):
        write_videos(tmp_path / "videos", 1, sprites=(4, 2), **SMALL)
    assert not list(tmp_path.iterdir())


def test_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="65 × 80"):
        write_videos(tmp_path / "videos", 1, size=(65, 80))


def test_another_range_of_indices_has_other_scenes(tmp_path: Path) -> None:
    first = Davis(write_davis(tmp_path / "a", 1, **SMALL))[0]
    later = Davis(write_davis(tmp_path / "b", 1, first=1, **SMALL))[0]
    assert (first.frame(0) != later.frame(0)).float().mean() > 0.5
