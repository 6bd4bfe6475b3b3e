"""The YouTube-VOS reader: hold-out split, every frame; mistakes: test_changed_sets.py."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.datamodules import VideoDataModule
from vidcorr.datasets import YoutubeVos
from vidcorr.datasets.generated import write_youtube_vos
from vidcorr.datasets.youtube_vos_files import HOLDOUT, UNSEEN_CATEGORIES, hold_out, read_meta
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette, read_mask, write_ids

SIZE = (48, 64)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough videos and categories for the default hold-out split."""
    root = tmp_path_factory.mktemp("many") / "ytvos"
    return write_youtube_vos(root, 24, valid=0, frames=6, size=(16, 16), sprites=(1, 1))


def test_the_held_out_videos_are_for_ever():
    """Published scores are of these videos; the names have YouTube-VOS's form."""
    categories = ["ape", "bear", "bus", "car", "cat", "cow", "deer"]
    categories += ["dog", "duck", "eagle", "fish", "fox", "frog", "goat"]
    videos = {f"{1009 * k:010x}": {1: (categories[k % 14], 0)} for k in range(60)}
    names, unseen = hold_out(videos, HOLDOUT, UNSEEN_CATEGORIES)
    assert unseen == {"ape", "bear", "bus", "fox", "frog"}
    hidden = [name for name, objects in videos.items() if objects[1][0] in unseen]
    assert names == tuple(sorted([*hidden, "00000013b5", "000000bd30"]))
    assert hold_out(videos, 0.2, 0)[0] == (
        *("0000000000", "00000013b5", "0000004301", "00000046f2", "000000667a", "0000008602"),
        *("000000a199", "000000b93f", "000000bd30", "000000ccf4", "000000d0e5", "000000e0a9"),
    )


def test_all_frames_are_followed_and_a_large_void_is_refused(tmp_path):
    root = write_youtube_vos(tmp_path / "ytvos", 0, valid=1, frames=6, size=SIZE)
    (root / "all_frames").mkdir()
    (root / "valid_all_frames").rename(root / "all_frames/valid_all_frames")  # as its archives are unpacked
    (video,) = YoutubeVos(root, all_frames=True)
    assert (video.num_frames, video.reported) == (6, (0, 5))
    mask = video.masks[video.begin]
    write_ids(mask, np.where(read_mask(mask), 255, np.eye(*SIZE, dtype=np.uint8)), davis_palette())
    assert refused(DataError, "value 255 means void", YoutubeVos, root).startswith(f"{mask}: ")


def training(source, **arguments):
    module = VideoDataModule(source, frames=2, size=16, batch_size=1, num_workers=0, validation_fraction=0, **arguments)
    module.setup("fit")
    return {Path(entry.file).name for entry in module.videos}


def test_training_leaves_the_hold_out_split_out_and_a_list_that_names_it_is_refused(many, tmp_path):
    pictures = "train_all_frames/JPEGImages"
    scored = {sequence.name for sequence in YoutubeVos(many, "holdout")}
    everything = {path.name for path in (many / pictures).iterdir()}
    assert set() < scored < everything
    trained = training(many / pictures)
    assert trained == everything - scored
    assert training(many / pictures, include_holdout=True) == everything
    videos = YoutubeVos(many, "train")
    _, unseen = hold_out(read_meta(many / "train/meta.json"), HOLDOUT, UNSEEN_CATEGORIES)
    assert all(unseen.isdisjoint(video.categories.values()) for video in videos if video.name in trained)
    folders = sorted((many / "train/JPEGImages").iterdir())
    (tmp_path / "all_frames").symlink_to(many)  # a root of the name of a folder
    deeper = tmp_path / "set/all_frames/train_all_frames"
    deeper.parent.mkdir(parents=True)
    deeper.symlink_to(many / deeper.name)
    (tmp_path / "set/train").symlink_to(many / "train")
    for root in ("all_frames", "set/all_frames"):
        assert training(tmp_path / root / pictures) == trained
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{folder}\n" for folder in folders))
    assert refused(DataError, "belong to YouTube-VOS's hold-out split.*set data.include_holdout", training, listing)
    assert len(training(listing, include_holdout=True)) == len(folders)
    listing.write_text("".join(f"{folder}\n" for folder in folders if folder.name not in scored))
    assert training(listing) == {folder.name for folder in folders} - scored
