"""Videos with masks: dense, sparse, objects that enter later, one object, lists, real sequences, mistakes.

Also tests `datasets/records.py`.
"""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Davis, Vos
from vidcorr.datasets.generated import write_davis
from vidcorr.videos.files import DataError, DecodingError

SIZE = (40, 56)
DAVIS = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}

refusal = partial(refused, DataError, ".", Vos, **DAVIS)
refusal_of_davis = partial(refused, DataError, ".", Davis)


@pytest.fixture
def root(tmp_path):
    """Three videos of DAVIS's kind, dense."""
    return write_davis(tmp_path / "own", 3, frames=5, size=SIZE, sprites=(2, 3))


def mask_path(root, t=0):
    return root / f"Annotations/480p/synthetic-000/{t:05d}.png"


def change(path, values):
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_a_sequence_of_davis_is_read_as_it_is(real_data, tmp_path):
    (tmp_path / "list.txt").write_text("dog\n")
    (dog,) = Davis(real_data("davis"), split=tmp_path / "list.txt")
    assert (dog.name, dog.num_frames, dog.objects, dog.size) == ("dog", 60, (1,), (480, 854))
    with Image.open(dog.frames[7]) as image:
        assert (dog.frame(7).permute(1, 2, 0).numpy().astype(int) - np.asarray(image)).std() < 1
    with Image.open(dog.masks[7]) as image:
        assert np.array_equal(dog.read_mask(7).numpy(), np.asarray(image))


def test_real_objects_that_enter_later(real_data):
    root = real_data("davis_multi_first")
    assert "853 × 480" in refusal(root)
    bike, judo = Vos(root, **DAVIS, size_tolerance=1)
    assert (bike.objects, dict(bike.starts)) == ((1, 2), {1: 0, 2: 0})
    assert dict(judo.starts) == {1: 0, 2: 5, 3: 8, 4: 13}
    assert [judo.entering(t) for t in (0, 5, 6)] == [(1,), (2,), ()]
    assert judo.read_mask(5).shape == judo.size == (480, 854)
    assert judo.read_mask(5).unique().tolist() == [0, 2]
    assert not judo.ground_truth


def test_test_split_has_no_ground_truth(root):
    (root / "ImageSets/2017/test-dev.txt").write_text("synthetic-000\n")
    for t in range(1, 5):
        mask_path(root, t).unlink()
    (sequence,) = Davis(root, split="test-dev")
    assert not sequence.ground_truth
    assert list(sequence.masks) == [0]


def test_missing_parts_are_named(root):
    said = refusal_of_davis(root, resolution="Full-Resolution")
    assert "JPEGImages: holds 480p, not Full-Resolution; get DAVIS at Full-Resolution, or give --on COPY.yaml" in said
    said = refusal_of_davis(root, split="train")
    assert "2017/train.txt or " in said
    message = "480p/train.txt: cannot be read (No such file or directory); a list has the name of a sequence per line"
    assert said.endswith(message)
    mask_path(root, 3).unlink()
    assert "4 masks for 5 frames, the first without one is 00003.jpg" in refusal_of_davis(root)
    change(mask_path(root), np.zeros(SIZE))
    assert "synthetic-000: no object in the mask" in refusal_of_davis(root, annotations="first")
    mask_path(root).unlink()
    assert "no object in the mask" in refusal_of_davis(root, annotations="first")
    assert "nowhere/Annotations: no folders of masks" in refused(DataError, ".", Vos, root / "nowhere")
    refused(ValueError, "annotations must be one of", Vos, root, annotations="frist")


def test_a_narrower_frame_is_refused_by_name(root):
    """On a GPU several frames are stacked; on a CPU its features would not fit the labels."""
    change(root / "JPEGImages/480p/synthetic-000/00002.jpg", np.zeros((40, 55, 3)))
    message = r"00002\.jpg: is 55 × 40 px, other frames 56 × 40 px"
    frames = Davis(root, annotations="first")[0].read()
    assert next(frames).shape == next(frames).shape
    refused(DecodingError, message, next, frames)
    change(mask_path(root, 2), np.zeros((40, 55)))
    refused(DecodingError, message, Davis, root)


def test_davis_2016_merges_objects_and_its_lists_as_released_name_two_paths_in_a_line(root, monkeypatch):
    several = Davis(root)[1].read_mask(0)
    (root / "ImageSets/2017/val.txt").unlink()
    (root / "ImageSets/480p").mkdir()
    line = "/JPEGImages/480p/synthetic-001/0000{0}.jpg /Annotations/480p/synthetic-001/0000{0}.png \n"
    (root / "ImageSets/480p/val.txt").write_text("".join(map(line.format, range(5))))
    monkeypatch.chdir(root.parent)
    for year, expected in ((2016, several > 0), (2017, several)):
        (sequence,) = Davis(root.name, year=year)
        assert (sequence.name, sequence.num_frames) == ("synthetic-001", 5)
        assert sequence.objects == tuple(range(1, int(expected.max()) + 1))
        assert torch.equal(sequence.read_mask(0), expected.to(torch.uint8))


def test_objects_enter_with_their_first_mask(root):
    values = np.zeros(SIZE)
    for t in range(5):
        values[:, t] = (0, 7, 7, 9, 7)[t]
        change(mask_path(root, t), values)
    sequence = Vos(root, **DAVIS)[0]
    assert (sequence.objects, dict(sequence.starts), sequence.begin) == ((7, 9), {7: 1, 9: 3}, 1)
    assert sequence.entering(3) == (9,)
    assert sequence.ground_truth
    merged = Vos(root, **DAVIS, one_object=True)[0]
    assert (merged.objects, dict(merged.starts)) == ((1,), {1: 1})
    assert np.unique(merged.read_mask(4)).tolist() == [0, 1]


def test_empty_masks_after_the_first_are_ground_truth_and_the_first_alone_is_none(root):
    for t in (1, 3, 4):
        mask_path(root, t).unlink()
    change(mask_path(root, 2), np.zeros(SIZE))
    sequence = Vos(root, **DAVIS)[0]
    assert (sequence.annotated, set(sequence.starts.values()), sequence.ground_truth) == ((0, 2), {0}, True)
    mask_path(root, 2).unlink()
    assert not Vos(root, **DAVIS)[0].ground_truth


def test_a_list_of_videos_is_a_name_or_a_file(root):
    assert len(Vos(root, split="ImageSets/2017/val.txt", **DAVIS)) == 3
    (root / "ImageSets/mine.txt").write_text("synthetic-002\n")
    for split in ("mine", root / "ImageSets/mine.txt"):
        assert [s.name for s in Vos(root, split=split, **DAVIS)] == ["synthetic-002"]
    (root / "ImageSets/mine.txt").write_text("\n")
    assert "mine.txt: the list is empty" in refusal(root, split="mine")


def test_mistakes_are_named(root):
    change(mask_path(root, 2), np.ones((40, 50)))
    assert "mask is 50 × 40 px" in refusal(root)
    assert len(Vos(root, **DAVIS, size_tolerance=6)) == 3
    for t in range(5):
        change(mask_path(root, t), np.zeros(SIZE))
    assert "synthetic-000: no object in the mask" in refusal(root)
    change(mask_path(root, 4), np.ones(SIZE))
    assert "1 frames from the first object on" in refusal(root)
    mask_path(root, 4).rename(mask_path(root, 5))
    assert "00005.png: mask without its frame" in refusal(root)


def test_a_folder_of_an_object_holds_one_object(root):
    folder = mask_path(root).parent
    (folder / "000").mkdir()
    for t in range(5):
        mask_path(root, t).rename(folder / f"000/{t:05d}.png")
    assert "synthetic-000/000/00000.png: holds more than one object" in refusal(root)
