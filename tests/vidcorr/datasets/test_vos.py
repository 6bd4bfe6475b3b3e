"""Any labelled video: dense and sparse masks, objects that enter later, one object, lists, mistakes.

Also tests `datasets/records.py`.
"""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Vos, YoutubeVos
from vidcorr.datasets.generated import write_davis, write_youtube_vos
from vidcorr.videos.files import DataError

DAVIS = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}

refusal = partial(refused, DataError, ".", Vos, **DAVIS)


@pytest.fixture
def root(tmp_path):
    """Three videos of DAVIS's kind, dense."""
    return write_davis(tmp_path / "own", 3, frames=5, size=(40, 56), sprites=(2, 3))


def mask_path(root, t, video=0):
    return root / f"Annotations/480p/synthetic-{video:03d}/{t:05d}.png"


def change(path, values):
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_objects_enter_with_their_first_mask(root):
    values = np.zeros((40, 56))
    for t in range(5):
        values[:, t] = (0, 7, 7, 9, 7)[t]
        change(mask_path(root, t), values)
    sequence = Vos(root, **DAVIS)[0]
    assert [frame.stem for frame in sequence.frames] == ["00000", "00001", "00002", "00003", "00004"]
    assert (sequence.objects, dict(sequence.starts), sequence.begin) == ((7, 9), {7: 1, 9: 3}, 1)
    assert sequence.entering(3) == (9,)
    assert sequence.ground_truth
    assert sequence.annotated == (0, 1, 2, 3, 4)
    merged = Vos(root, **DAVIS, one_object=True)[0]
    assert (merged.objects, dict(merged.starts)) == ((1,), {1: 1})
    assert np.unique(merged.read_mask(4)).tolist() == [0, 1]


def test_empty_masks_after_the_first_are_ground_truth_and_the_first_alone_is_none(root):
    for t in (1, 3, 4):
        mask_path(root, t).unlink()
    change(mask_path(root, 2), np.zeros((40, 56)))
    sequence = Vos(root, **DAVIS)[0]
    assert (sequence.annotated, set(sequence.starts.values()), sequence.ground_truth) == ((0, 2), {0}, True)
    mask_path(root, 2).unlink()
    assert not Vos(root, **DAVIS)[0].ground_truth


def test_sparse_masks_of_youtube_vos(tmp_path):
    base = write_youtube_vos(tmp_path / "ytvos", 2, valid=2, frames=21, size=(48, 64))
    for name, scored in (("train", True), ("valid", False)):
        pairs = zip(Vos(base / name), YoutubeVos(base, name), strict=True)
        for ours, theirs in pairs:
            assert (ours.name, ours.objects, dict(ours.starts)) == (theirs.name, theirs.objects, dict(theirs.starts))
            assert (ours.frames, dict(ours.masks), ours.ground_truth) == (theirs.frames, dict(theirs.masks), scored)


def test_lists(root):
    assert len(Vos(root, split="ImageSets/2017/val.txt", **DAVIS)) == 3
    (root / "ImageSets/mine.txt").write_text("synthetic-002\n")
    for split in ("mine", root / "ImageSets/mine.txt"):
        assert [s.name for s in Vos(root, split=split, **DAVIS)] == ["synthetic-002"]
    (root / "ImageSets/mine.txt").write_text("../synthetic-002\n")
    assert "is not the plain name" in refusal(root, split="mine")
    (root / "ImageSets/mine.txt").write_text("\n")
    assert "mine.txt: the list is empty" in refusal(root, split="mine")


def test_mistakes_are_named(root):
    change(mask_path(root, 2), np.ones((40, 50)))
    assert "mask is 50 × 40 px" in refusal(root)
    assert len(Vos(root, **DAVIS, size_tolerance=6)) == 3
    for t in range(5):
        change(mask_path(root, t), np.zeros((40, 56)))
    assert "synthetic-000: no object in the mask" in refusal(root)
    change(mask_path(root, 4), np.ones((40, 56)))
    assert "1 frames from the first object on" in refusal(root)
    mask_path(root, 4).rename(mask_path(root, 5))
    assert "00005.png: mask without its frame" in refusal(root)


def test_a_folder_of_an_object_holds_one_object(root):
    folder = mask_path(root, 0).parent
    (folder / "000").mkdir()
    for t in range(5):
        mask_path(root, t).rename(folder / f"000/{t:05d}.png")
    assert "synthetic-000/000/00000.png: holds more than one object" in refusal(root)
