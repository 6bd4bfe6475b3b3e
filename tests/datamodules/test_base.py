"""Promises of every data module of `datamodules.__all__`: the list that a run resumes with, and its seed.

Also tests `datamodules/synthetic_video.py`.
"""

from unittest.mock import Mock, call

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr import datamodules
from vidcorr.datamodules import synthetic_video
from vidcorr.datamodules.base import SampledDataModule
from vidcorr.datasets.generated.writers import FIRST_BENCHMARK_VIDEO, write_frames, write_text
from vidcorr.videos.files import DataError

MODULES = [
    name
    for name in datamodules.__all__
    if isinstance(kind := getattr(datamodules, name), type) and issubclass(kind, SampledDataModule)
]
SMALL = {"SyntheticVideoDataModule": {"videos": 6, "benchmark_videos": 1, "frames_per_video": 4, "video_size": 64}}


@pytest.fixture
def root(tmp_path):
    """A folder that all read: sequences of GOT-10k, which are frames of videos, images of classes, and so on."""
    frames = np.zeros((3, 40, 60, 3), np.uint8)
    for part in ("train", "val"):
        for name in "abcd":
            folder = tmp_path / part / name
            write_frames(folder, frames, [f"{number:08d}.jpg" for number in range(1, 4)])
            write_text(folder / "groundtruth.txt", ["10,10,20,20"] * 3)
        write_text(tmp_path / part / "list.txt", "abcd")
    return tmp_path


def exchange(root):
    """Give items other names that stand at the same places."""
    for part in ("train", "val"):
        (root / part / "b").rename(root / part / "bb")
        write_text(root / part / "list.txt", ["a", "bb", "c", "d"])
    for number, video in enumerate(sorted(root.glob("videos/*.mp4"))):  # one is held out
        video.rename(video.with_name(f"{number}.mp4"))


def made(name, root, **options):
    data = getattr(datamodules, name)(root, batch_size=2, num_workers=0, **SMALL.get(name, {}), **options)
    if not (root / "videos").exists():
        data.prepare_data()
    data.setup("fit")
    return data


def resumed(name, root, state, **options):
    """Return the loader that Lightning asks for in a run that resumes."""
    data = made(name, root, **options)
    data.trainer = quiet_trainer()
    data.trainer.training = True
    data.load_state_dict(state)
    return data.train_dataloader()


def place_of_first_batch(loader):
    next(iter(loader))
    return loader.place


CASES = [*((name, {}) for name in MODULES), ("VideoDataModule", {"samples_per_epoch": 6})]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_another_list_is_refused_within_an_epoch_and_told_between_two(name, options, root, recwarn):
    state = made(name, root, **options).train_dataloader().state_dict()
    items = state["data"]["items"]
    within = state | {"batches": 1}
    for before, place in ((state, (0, 1)), (within, (0, 2))):
        assert place_of_first_batch(resumed(name, root, before, **options)) == place
    recwarn.clear()
    exchange(root)
    message = "written within an epoch of other data: .*, now "
    refused(DataError, message, place_of_first_batch, resumed(name, root, within, **options))
    again = resumed(name, root, state, **options)
    recwarn.clear()
    assert place_of_first_batch(again) == (0, 1)
    (warning,) = recwarn
    message = f"not the items that the checkpoint's run was trained on: {items} before, {items} now"
    assert str(warning.message).endswith(message)


@pytest.mark.parametrize("name", MODULES)
def test_no_seed_is_that_of_the_run_and_0_is_a_seed(name, root, monkeypatch):
    assert made(name, root).seed == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert made(name, root).seed == 5
    assert made(name, root, seed=0).seed == 0
    assert made(name, root).train_dataloader().state_dict()["data"]["seed"] == 5


LEAST = {
    "Got10kDataModule": {"batch_size": 1, "repeat": 1, "num_workers": 0},
    "ImageFolderDataModule": {"size": 1},
    "VideoDataModule": {"frames": 1, "size": 1, "repeat": 1, "samples_per_epoch": 1},
}


@pytest.mark.parametrize("name", LEAST)
def test_a_number_that_is_too_small_is_refused(name):
    for number, least in LEAST[name].items():
        message = f"{number} must be at least {least}, got {least - 1}"
        refused(ValueError, message, getattr(datamodules, name), "x", **{number: least - 1})


def test_generated_videos_and_what_benchmarks_read_have_scenes_of_their_own(tmp_path, monkeypatch):
    written = Mock()
    for name in ("write_videos", "write_davis", "write_tap_vid"):
        monkeypatch.setattr(synthetic_video, name, getattr(written, name))
    scene = {"seed": 3, "frames": 5, "size": (64, 64), "sprites": (1, 2), "camouflage": 0.5}
    for points in (0, 1):
        data = datamodules.SyntheticVideoDataModule(tmp_path, 4, 2, points, 5, 64, (1, 2), 0.5, 3)
        data.prepare_data()
    videos = call.write_videos(tmp_path / "videos", 4, **scene)
    davis = call.write_davis(tmp_path / "davis", 2, first=FIRST_BENCHMARK_VIDEO, **scene)
    tracks = call.write_tap_vid(tmp_path / "tap_vid", 1, first=FIRST_BENCHMARK_VIDEO, **scene)
    assert written.mock_calls == [videos, davis, videos, davis, tracks]
    assert data.sources == [str(tmp_path / "videos")]
