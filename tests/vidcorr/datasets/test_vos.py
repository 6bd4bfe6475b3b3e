"""Videos with masks: dense, sparse, objects that enter later, one object; mistakes: test_changed_sets.py.

Also tests `datasets/sequences.py`.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Davis, Jhmdb, Vos
from vidcorr.datasets.generated import write_davis

SIZE = (40, 56)
DAVIS = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}


@pytest.fixture
def root(tmp_path):
    """Three videos of DAVIS's kind, dense."""
    return write_davis(tmp_path / "own", 3, frames=5, size=SIZE, sprites=(2, 3))


def mask_path(root, t=0):
    return root / f"Annotations/480p/synthetic-000/{t:05d}.png"


def change(path, values):
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_test_split_has_no_ground_truth(root):
    (root / "ImageSets/2017/test-dev.txt").write_text("synthetic-000\n")
    (sequence,) = Davis(root, split="test-dev")
    assert (sequence.ground_truth, list(sequence.masks)) == (False, [0])
    refused(ValueError, "annotations must be one of", Vos, root / "nowhere", annotations="frist")
    refused(ValueError, "subset must be one of", Jhmdb, root / "nowhere", subset="other")


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
    assert sequence.ground_truth
    change(mask_path(root, 4), np.where(values, values, 255))
    merged = Vos(root, **DAVIS, one_object=True)[0]
    assert (merged.objects, dict(merged.starts)) == ((1,), {1: 1})
    assert np.unique(merged.read_mask(4)).tolist() == [1, 255]


def test_empty_masks_after_the_first_are_ground_truth_and_the_first_alone_is_none(root):
    for t in (1, 3, 4):
        mask_path(root, t).unlink()
    change(mask_path(root, 2), np.zeros(SIZE))
    sequence = Vos(root, **DAVIS)[0]
    assert (sequence.annotated, set(sequence.starts.values()), sequence.ground_truth) == ((0, 2), {0}, True)
    mask_path(root, 2).unlink()
    assert not Vos(root, **DAVIS)[0].ground_truth


def test_in_a_dense_video_only_objects_of_the_first_frame_are_followed(root):
    change(mask_path(root, 1), np.full(SIZE, 9))
    assert 9 not in Davis(root)[0].objects
