"""The writers: same arguments, same files, today and later, of which readers read the same; a prefix of a video.

Also tests `generated/layouts.py`, `generated/scene.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.datasets import Davis, Jhmdb, Otb, TapVid, Vip, Vos, YoutubeVos, generated as synthetic
from vidcorr.datasets.generated import write_videos
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.datasets.generated.writers import OPENCV
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError
from vidcorr.videos.source import list_videos

SMALL = {"frames": 6, "size": (48, 64)}
WRITERS = {name: writer for name, writer in vars(synthetic).items() if name.startswith("write_")}
SETS = json.loads(Path(__file__).with_name("sets.json").read_text())
"""Writer → its defaults, checksum and numbers of what is read: of pictures their mean and deviation."""
READERS = {
    "write_davis": lambda root: (Davis(root), Davis(root, 2016, None), Vos(root, None, *FOLDERS)),
    "write_jhmdb": Jhmdb,
    "write_otb": lambda root: Otb(root, None),
    "write_tap_vid": TapVid,
    "write_videos": lambda root: [(Path(entry.file), frames_of(entry.file)) for entry in list_videos(root).entries],
    "write_vip": lambda root: (Vip(root), Vip(root, parts="instance")),
    "write_youtube_vos": lambda root: (
        [YoutubeVos(root), YoutubeVos(root, "train"), YoutubeVos(root, all_frames=True)],
        [Vos(root / "train"), Vos(root / "valid")],
    ),
}
FOLDERS = ("JPEGImages/480p", "Annotations/480p")
ASKED = ("num_frames", "begin", "objects", "annotated", "classes")


def frames_of(path):
    with VideoFile(path) as video:
        return list(video.frames())


def told(value, root, numbers):
    """Return what a reader gave as JSON: paths below the root, checksums of whole numbers; note the means of others."""
    if is_dataclass(value):
        names = [*(each.name for each in fields(value) if each.name != "stored"), *ASKED]
        about = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if hasattr(value, "annotated"):
            about["ids"] = list(map(value.read_mask, value.annotated))
            frames = range(value.num_frames)
            about["entering"] = [tuple(i for i in value.objects if value.starts[i] == t) for t in frames]
        if getattr(value, "humans", None):
            about["instances"] = list(map(value.instances, range(value.num_frames)))
        value = about | {"frame": value.frame(1) if hasattr(value, "frame") else None}
    if isinstance(value, Mapping):
        return {str(key): told(item, root, numbers) for key, item in value.items()}
    if isinstance(value, tuple | list | set):
        return [told(item, root, numbers) for item in value]
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.asarray(value)
        if array.dtype == np.uint8 and 3 in (array.shape[0], array.shape[-1]):  # a picture
            numbers += [array.mean() / 100, array.std() / 100]
        if array.dtype.kind == "f":
            array = np.nan_to_num(array.reshape(len(array), -1), nan=-1)
            numbers += (array * np.linspace(1, 2, array.shape[1])).mean(1).tolist()
        is_exact = array.dtype.kind != "f" and value.shape[-2:] != value.shape[1:]  # decoders of pictures differ
        return [value.shape, crc32(array.tobytes()) if is_exact else 0]
    if isinstance(value, Path):
        return value.relative_to(root).as_posix()
    if isinstance(value, float):
        numbers.append(value)
        return None
    return value


def written(name, root):
    """Write a small set."""
    count = 3 if name == "write_otb" else 2
    return WRITERS[name](root, count, seed=3, first=5, frames=11, size=(40, 58))


def arguments(name, root):
    """Return what the marker of a set without videos says: the defaults."""
    own = {"valid": 0} if name == "write_youtube_vos" else {}
    return json.loads((WRITERS[name](root, 0, **own) / "synthetic.json").read_text())


@pytest.mark.skipif(OPENCV < 5, reason="sets.json holds what OpenCV 5 draws")
@pytest.mark.parametrize("name", WRITERS)
def test_the_set_of_a_seed_stays_as_it_is(name, tmp_path):
    """Demos, tests and published runs draw by seeds."""
    expected = SETS[name]
    root = written(name, tmp_path / "set")
    numbers = []
    assert crc32(json.dumps(told(READERS[name](root), root, numbers)).encode()) == expected["read"]
    assert numbers == pytest.approx(expected["numbers"], abs=1e-3)
    assert arguments(name, tmp_path / "empty") == expected["arguments"]


def test_videos_are_the_same_with_other_threads(tmp_path):
    before = cv2.getNumThreads()
    videos = []
    for threads in (1, 7):
        cv2.setNumThreads(threads)
        videos.append((write_videos(tmp_path / f"{threads}", 1, **SMALL) / "00000.mp4").read_bytes())
    cv2.setNumThreads(before)
    assert videos[0] == videos[1]
    assert b"threads=1 lookahead_threads=1 sliced_threads=0" in videos[0]
    assert b"mbtree=0" in videos[0]  # this one reads unset memory


def test_a_finished_folder_is_kept_and_refused_to_another_set(tmp_path):
    root = write_videos(tmp_path / "videos", 1, **SMALL)
    written = (root / "00000.mp4").stat().st_mtime_ns
    write_videos(root, 1, **SMALL)
    assert (root / "00000.mp4").stat().st_mtime_ns == written
    refused(DataError, "videos: holds other files or another generated set", write_videos, root, 2, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize("name", ["holiday.mp4", ".git"])
def test_a_folder_that_is_not_ours_is_refused(name, tmp_path):
    (tmp_path / name).write_text("mine")
    refused((DataError, OSError), str(tmp_path), write_videos, tmp_path, 1, **SMALL)
    assert (tmp_path / name).read_text() == "mine"


def test_same_arguments_same_video_and_fewer_frames_a_prefix():
    for whole, prefix in zip(Scenes(3, 7, 6, (64, 80)).render(0), Scenes(3, 7, 4, (64, 80)).render(0), strict=True):
        assert np.array_equal(whole[:4], prefix)
