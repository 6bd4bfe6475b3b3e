"""Promises of every data module of `datamodules.__all__`: the list that a run resumes with, and its seed.

Also tests `datamodules/synthetic_video.py`.
"""

import numpy as np
import pytest

import datamodules
from datamodules.base import SampledDataModule
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.datasets.generated.writers import write_frames, write_text
from vidcorr.videos.files import DataError

MODULES = [
    name
    for name in datamodules.__all__
    if isinstance(kind := getattr(datamodules, name), type) and issubclass(kind, SampledDataModule)
]
SMALL = {"SyntheticVideoDataModule": {"videos": 4, "benchmark_videos": 1, "frames_per_video": 4, "video_size": 64}}


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


def add(root):
    """Add items."""
    for part in ("train", "val"):
        write_frames(root / part / "e", np.zeros((3, 40, 60, 3), np.uint8), ["1.jpg", "2.jpg", "3.jpg"])
        write_text(root / part / "e" / "groundtruth.txt", ["10,10,20,20"] * 3)
        write_text(root / part / "list.txt", "abcde")
    for video in sorted(root.glob("videos/*.mp4"))[:1]:
        video.with_name("zz.mp4").write_bytes(video.read_bytes())


def made(name, root, **options):
    data = getattr(datamodules, name)(root, batch_size=2, num_workers=0, **SMALL.get(name, {}), **options)
    if not (root / "videos").exists():
        data.prepare_data()
    data.setup("fit")
    return data


def resumed(name, root, state, batches, **options):
    """Return how a run begins that resumes after some batches of an epoch."""
    data = made(name, root, **options)
    data.trainer = quiet_trainer()
    data.trainer.fit_loop.epoch_loop.batch_progress.current.ready = batches
    data.load_state_dict(state)
    return data.train_dataloader().batches_before


CASES = [*((name, {}) for name in MODULES), ("VideoDataModule", {"samples_per_epoch": 6})]


@pytest.mark.parametrize("change", [exchange, add])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_another_list_is_refused_within_an_epoch_and_told_between_two(name, options, change, root, recwarn):
    data = made(name, root, **options)
    state = data.state_dict()
    before = state["items"]
    assert resumed(name, root, state, 1, **options)() == 1
    assert resumed(name, root, state, 0, **options)() == 0
    recwarn.clear()
    change(root)
    refused(DataError, "written within an epoch of other data: .*, now ", resumed(name, root, state, 1, **options))
    again = resumed(name, root, state, 0, **options)
    recwarn.clear()
    assert again() == 0
    (warning,) = recwarn
    now = made(name, root, **options).state_dict()["items"]
    assert (now > before) == (change is add)
    message = f"not the items that the checkpoint's run was trained on: {before} before, {now} now"
    assert str(warning.message).endswith(message)


@pytest.mark.parametrize("name", MODULES)
def test_no_seed_is_that_of_the_run_and_0_is_a_seed(name, root, monkeypatch):
    assert made(name, root).seed == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert made(name, root).seed == 5
    assert made(name, root, seed=0).seed == 0
    assert made(name, root).state_dict()["seed"] == 5


LEAST = {
    "Got10kDataModule": ["batch_size", "repeat"],
    "ImageFolderDataModule": ["batch_size", "size"],
    "VideoDataModule": ["batch_size", "frames", "size", "repeat", "samples_per_epoch"],
}


@pytest.mark.parametrize(("name", "number"), [(name, number) for name, numbers in LEAST.items() for number in numbers])
def test_a_number_below_1_is_refused(name, number):
    refused(ValueError, f"{number} must be at least 1, got 0", getattr(datamodules, name), "x", **{number: 0})


def test_a_list_at_another_place_is_the_same_list(root):
    state = made("VideoDataModule", root).state_dict()
    moved = root / "moved"
    moved.mkdir()
    for part in ("train", "val"):
        (root / part).rename(moved / part)
    assert made("VideoDataModule", moved).state_dict() == state
