"""TAP-Vid's layouts from files to sequences: released pickles, npz; what is refused."""

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.tap_vid import element, encoded, write_golden_tracks, written
from vidcorr.datasets import TapVid
from vidcorr.videos.files import DataError

SHARDS = ("tapvid_kinetics/0000_of_0010.pkl", "tapvid_kinetics/0001_of_0010.pkl")
SPLITS = ("robotap/robotap_split0.pkl", "robotap/robotap_split1.pkl")


def test_shards_of_a_folder_are_one_set(tmp_path):
    for name in SHARDS + SPLITS:
        write_golden_tracks(tmp_path, name)
    kinetics = TapVid(tmp_path / "tapvid_kinetics")
    assert [video.name for video in kinetics] == ["0000_of_0010-000", "0000_of_0010-001", "0001_of_0010-000"]
    assert [video.name for video in TapVid(tmp_path / "robotap")] == ["made_0_0", "made_1_0"]
    assert kinetics[0].frame(2).shape == (3, *kinetics[0].size)
    np.savez(tmp_path / "robotap/other.npz", **element())
    refused(DataError, "davis.pkl: expected a .pkl", TapVid, written(tmp_path, "no videos"))
    refused(DataError, "robotap: expected a .pkl", TapVid, tmp_path / "robotap")  # two sets would be scored as one


def test_a_frame_of_another_size_is_named_when_it_is_read(tmp_path):
    pictures = [encoded(np.zeros((8, 8 + 2 * (t == 3), 3), np.uint8)) for t in range(5)]
    (video,) = TapVid(written(tmp_path, {"goat": element() | {"video": pictures}}))
    assert video.frame(2).shape == (3, 8, 8)
    assert refused(DataError, "goat, frame 3: is 10 × 8 px, other frames 8 × 8", video.frame, 3)


OF_ANOTHER_FORM = [
    ({"video": np.zeros((4, 12, 16, 3), np.uint8)}, "is not a video of TAP-Vid"),
    ({"video": np.zeros((5, 12, 16, 3))}, "is not a video of TAP-Vid"),
    ({"occluded": np.zeros((2, 5), np.uint8)}, "is not a video of TAP-Vid"),
    ({"occluded": np.zeros((0, 5), bool), "points": np.zeros((0, 5, 2))}, "is not a video of TAP-Vid"),
    ({"points": np.full((2, 5, 2), 1.2)}, "visible points lie outside"),
    ({"video": [b"\xff\xd8 no picture \xff\xd9"] * 5}, "frame 0: cannot be decoded as an image"),
]


@pytest.mark.parametrize(("change", "message"), OF_ANOTHER_FORM)
def test_an_element_that_is_not_tap_vid_is_named(tmp_path, change, message):
    for name in ("../goat", 1.5):
        refused(DataError, "is not the plain name", TapVid, written(tmp_path, {name: element()}))
    path = written(tmp_path, {"goat": {"points": np.zeros((2, 5, 2))}})
    refused(DataError, "goat: is not a video of TAP-Vid.*has no 'video'", TapVid, path)
    path = written(tmp_path, {"goat": element() | {"occluded": np.zeros((2, 5), bool)} | change})
    assert refused(DataError, message, TapVid, path).startswith(f"{path}, goat")
