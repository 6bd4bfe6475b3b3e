"""The YouTube-VOS reader: hold-out split, every frame, mistakes; test_vos.py compares its objects with `Vos`'s."""

import json
from functools import partial

import numpy as np
import pytest

from datamodules import VideoDataModule
from tests.helpers.refusal import refused
from vidcorr.datasets import YoutubeVos
from vidcorr.datasets.generated import write_youtube_vos
from vidcorr.datasets.youtube_vos import HOLDOUT, UNSEEN, hold_out, read_meta
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette, read_mask, write_ids

SIZE = (48, 64)

refusal = partial(refused, DataError, ".", YoutubeVos)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ytvos") / "ytvos"
    return write_youtube_vos(folder, 4, valid=2, frames=21, size=SIZE, sprites=(3, 3))


def test_holdout_hides_whole_categories_and_is_a_function_of_the_names(root):
    videos = YoutubeVos(root, "holdout", holdout=0.0, unseen=1)
    names, unseen = hold_out(read_meta(root / "train/meta.json"), 0.0, 1)
    assert len(unseen) == 1
    held_out = {sequence.name for sequence in videos}
    assert held_out == set(names)
    assert all(unseen & set(sequence.categories.values()) for sequence in videos)
    others = [sequence for sequence in YoutubeVos(root, "train") if sequence.name not in held_out]
    assert len(videos) + len(others) == 4
    assert not any(unseen & set(sequence.categories.values()) for sequence in others)
    first, again = ([s.name for s in YoutubeVos(root, "holdout", holdout=0.5, unseen=0)] for _ in range(2))
    assert first == again
    assert len(first) == 2


def test_another_meta_is_named(tmp_path):
    path = tmp_path / "valid/meta.json"
    path.parent.mkdir()
    for videos in ([], {"a": {"objects": {"one": {"frames": ["0"]}}}}):
        path.write_text(json.dumps({"videos": videos}))
        assert refusal(tmp_path).startswith(f"{path}: ")


def test_an_object_without_the_mask_of_its_start_and_too_few_videos_are_named(tmp_path):
    root = write_youtube_vos(tmp_path / "ytvos", 2, valid=1, frames=6, size=SIZE)
    refused(DataError, "meta.json: too few videos to hold out", YoutubeVos, root, "holdout", unseen=9)
    (root / "all_frames").mkdir()
    (root / "valid_all_frames").rename(root / "all_frames/valid_all_frames")  # as its archives are unpacked
    (video,) = YoutubeVos(root, all_frames=True)
    assert (video.num_frames, video.reported) == (6, (0, 5))
    mask = video.masks[video.begin]
    ids = read_mask(mask)
    write_ids(mask, np.where(ids, 255, np.eye(*SIZE, dtype=np.uint8)), davis_palette())
    assert refusal(root).startswith(f"{mask}: value 255 means void")
    mask.unlink()
    assert refusal(root).startswith(f"{mask}: no such mask, but object ")


def training(source, **arguments):
    module = VideoDataModule(source, frames=2, size=16, batch_size=1, num_workers=0, validation_fraction=0, **arguments)
    module.setup("fit")
    return {entry.path.name for entry in module.videos}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough videos and categories for the default hold-out split."""
    root = tmp_path_factory.mktemp("many") / "ytvos"
    return write_youtube_vos(root, 24, valid=0, frames=6, size=(16, 16), sprites=(1, 1))


def test_training_leaves_the_hold_out_split_out(many):
    pictures = "train_all_frames/JPEGImages"
    scored = {sequence.name for sequence in YoutubeVos(many, "holdout")}
    everything = {path.name for path in (many / pictures).iterdir()}
    assert set() < scored < everything
    trained = training(many / pictures)
    assert trained == everything - scored
    assert training(many / pictures, include_holdout=True) == everything
    videos = YoutubeVos(many, "train")
    _, unseen = hold_out(read_meta(many / "train/meta.json"), HOLDOUT, UNSEEN)
    assert (HOLDOUT, len(unseen)) == (0.05, 5)  # for ever
    assert all(unseen.isdisjoint(video.categories.values()) for video in videos if video.name in trained)


def test_a_set_of_few_categories_has_no_hold_out_split(tmp_path):
    root = write_youtube_vos(tmp_path / "ytvos", 2, valid=0, frames=6, size=(16, 16), sprites=(1, 1))
    assert len(training(root / "train/JPEGImages")) == 2


def test_a_list_that_names_a_scored_video_is_refused(many, tmp_path):
    folders = sorted((many / "train/JPEGImages").iterdir())
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{folder}\n" for folder in folders))
    assert refused(DataError, "belong to YouTube-VOS's hold-out split.*set data.include_holdout", training, listing)
    assert len(training(listing, include_holdout=True)) == len(folders)
    scored = {sequence.name for sequence in YoutubeVos(many, "holdout")}
    kept = [folder for folder in folders if folder.name not in scored]
    listing.write_text("".join(f"{folder}\n" for folder in kept))
    assert training(listing) == {folder.name for folder in kept}
