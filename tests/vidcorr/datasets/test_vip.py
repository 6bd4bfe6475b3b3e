"""The VIP reader: instances that enter later, void; lists, mistakes: test_changed_sets.py."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Vip
from vidcorr.datasets.generated.layouts import write_vip
from vidcorr.datasets.vip_files import PARTS
from vidcorr.videos.files import DataError

SIZE = (96, 128)


@pytest.fixture
def root(tmp_path):
    return write_vip(tmp_path / "vip", 2, frames=3, size=SIZE)


def change(root, kind, frame, place, value):
    path = root / "VIP_Fine/Annotations" / kind / "videos1" / f"{frame}.png"
    changed = np.array(Image.open(path))
    changed[place] = value
    Image.fromarray(changed).save(path)


def test_instances_that_enter_later_are_annotated_and_not_followed(root):
    change(root, "Category_ids", "000000000026", np.s_[0, :3], 5)
    change(root, "Human_ids", "000000000026", np.s_[0, :3], 7)
    sequence = Vip(root, parts="instance")[0]
    instances, classes = sequence.instances(1)
    assert instances[0, :4].tolist() == [145, 145, 145, 0]
    assert classes[145] == PARTS.index("dress")
    assert sequence.read_mask(1)[0, :3].tolist() == [0, 0, 0]


def test_void_is_kept_for_classes_and_no_instance(root):
    change(root, "Category_ids", "000000000001", 0, 255)
    assert (Vip(root)[0].read_mask(0)[0] == 255).all()
    assert 255 not in Vip(root / "VIP_Fine")[0].objects
    change(root, "Human_ids", "000000000001", np.s_[:, :64], 255)
    shown = Vip(root, parts="instance")[0].read_mask(0)
    assert (shown[0].any(), shown[:, :64].any(), shown.any()) == (False, False, True)


@pytest.mark.parametrize("kind", ["Category_ids", "Human_ids"])
def test_colours_are_refused_since_they_have_no_numbers(kind, root):
    path = root / "VIP_Fine/Annotations" / kind / "videos1/000000000001.png"
    Image.fromarray(np.array(Image.open(path))[..., None].repeat(3, axis=2)).save(path)
    refused(DataError, "000000000001.png: is in RGB; its values must be numbers", Vip, root, parts="instance")


def test_more_instances_than_ids_are_refused(root):
    numbers = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    change(root, "Category_ids", "000000000001", np.s_[:], numbers % 19 + 1)
    change(root, "Human_ids", "000000000001", np.s_[:], numbers // 19 % 14 + 1)
    refused(DataError, "266 instance parts in the first frame; expected 1 to 254", Vip, root, parts="instance")
