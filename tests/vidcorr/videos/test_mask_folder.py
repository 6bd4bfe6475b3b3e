"""The masks of a video: what 255 means among them, and each is decoded once."""

import shutil

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, VosBenchmark
from vidcorr.datasets import Davis, Vos
from vidcorr.datasets.generated import write_davis
from vidcorr.datasets.generated.writers import write_masks
from vidcorr.scoring.masks import score
from vidcorr.videos import mask_folder
from vidcorr.videos.files import DataError
from vidcorr.videos.mask_folder import MaskFolder
from vidcorr.videos.masks import davis_palette, read_mask, write_ids
from vidcorr.videos.prompts import MaskPrompt

IDS = np.zeros((24, 32), np.uint8)
IDS[2:10, 2:14], IDS[8:20, 16:30], IDS[14:22, 2:10] = 1, 2, 9
SHAPE = (IDS > 0).astype(np.uint8) * 255


def video(folder, *masks):
    """Write a video's masks, and return the folder of videos."""
    write_masks(folder, {t: np.asarray(ids, np.uint8) for t, ids in enumerate(masks)})
    return folder.parent


def folder_of(path, *rows, **rules):
    """Return a folder of masks of a row of pixels each."""
    return MaskFolder(video(path / "a", *([row] for row in rows)) / "a", **rules)


def test_255_is_the_object_of_a_video_that_has_no_other_id(tmp_path):
    white = folder_of(tmp_path / "white", [0, 0], [0, 255])
    assert (white.void, white.shown(0), white.shown(1), white.starts()) == (None, (), (1,), {1: 1})
    assert white.read(1).tolist() == [[0, 1]]
    beside = folder_of(tmp_path / "beside", [0, 0, 0], [0, 0, 255], [2, 2, 255])
    assert (beside.void, beside.shown(1), beside.starts()) == (255, (), {2: 2})
    assert beside.read(1).tolist() == [[0, 0, 255]]
    assert folder_of(tmp_path / "empty", [0, 0]).starts() == {}


def test_255_is_an_id_where_the_rules_have_no_void_and_every_value_the_object_of_a_folder_of_one(tmp_path):
    ordinary = folder_of(tmp_path / "naf", [0, 255, 255, 2], has_void=False)
    assert (ordinary.void, ordinary.starts()) == (None, {2: 0, 255: 0})
    one = folder_of(tmp_path / "one", [0, 255], [0, 7], of_object=True)
    assert (one.starts(), one.read(0).tolist(), one.read(1).tolist()) == ({1: 0}, [[0, 1]], [[0, 1]])
    several = folder_of(tmp_path / "several", [7, 255], of_object=True)
    refused(DataError, r"00000\.png: holds more than one object, in a folder of one", several.read, 0)


@pytest.fixture
def decoded(monkeypatch):
    """Return a list to which each decoded mask is added."""
    found = []

    def counting(path):
        found.append(path)
        return read_mask(path)

    monkeypatch.setattr(mask_folder, "read_mask", counting)
    return found


@pytest.mark.parametrize("layout", ["dense", "sparse", "predictions"])
def test_a_mask_is_decoded_once_though_half_of_them_hold_only_void(layout, decoded, tmp_path):
    beside = np.where(IDS == 9, 255, IDS).repeat(4, 0).repeat(4, 1)
    alone = np.where(beside == 255, 255, 0)
    of_frames = [beside, *[alone] * 6, *[beside] * 5]
    root = write_davis(tmp_path / "davis", 1, frames=12, size=beside.shape)
    folder = root / "Annotations/480p/synthetic-000"
    shutil.rmtree(folder)
    video(folder, *of_frames)
    if layout == "predictions":
        score(folder.parent, shutil.copytree(folder.parent, tmp_path / "mine"), "youtube-vos")
    elif layout == "dense":
        DavisBenchmark(root).evaluate("raw_colour")
    else:
        VosBenchmark(root, frames="JPEGImages/480p", masks="Annotations/480p").evaluate("raw_colour")
    assert len(decoded) == len(set(decoded)) == 12 * (2 if layout == "predictions" else 1)


def test_a_white_mask_among_ids_is_refused_where_no_mask_has_void(tmp_path):
    """255 may be void or the object, which gives another score."""
    one = SHAPE // 255
    truth = video(tmp_path / "truth/a", one, one, one, one)
    mixed = video(tmp_path / "mine/a", one, one, SHAPE, one)
    said = r"a/00002\.png: holds only 0 and 255, other masks of the video ids"
    refused(DataError, said, score, truth, mixed, "youtube-vos")
    shutil.copytree(mixed, tmp_path / "Annotations")
    shutil.copytree(mixed, tmp_path / "JPEGImages")
    refused(DataError, r"00002\.png: holds only 0 and 255", Vos, tmp_path)


def test_void_beside_ids_stays_void(tmp_path):
    """Frames of void alone are void if other frames hold void beside ids, as in VOST."""
    ids = np.where(IDS == 9, 255, IDS)
    truth = video(tmp_path / "truth/a", ids, ids, np.where(ids == 255, 255, 0), ids)
    rows = score(truth, video(tmp_path / "mine/a", IDS, IDS, IDS, IDS), "youtube-vos").rows
    assert [row.object for row in rows] == ["1", "2"]
    assert [row.values["J-Mean"] for row in rows] == pytest.approx([2 / 3, 2 / 3])


def test_a_void_that_outweighs_the_ids_is_refused(tmp_path):
    ids = np.where(IDS == 1, 1, np.where(IDS, 255, 0)).astype(np.uint8)
    root = write_davis(tmp_path / "davis", 1, frames=3, size=IDS.shape)
    for path in root.rglob("*.png"):
        write_ids(path, ids, davis_palette())
    masks = root / "Annotations/480p"
    said = "value 255 means void .* has .* pixels, more than the 96 of all objects"
    for read in (Davis, lambda _: score(masks, masks)):
        assert "00000.png" in refused(DataError, said, read, root)
    assert "array" in refused(DataError, said, MaskPrompt.of, ids)
