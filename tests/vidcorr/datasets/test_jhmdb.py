"""The JHMDB reader on the real clips, and on mistakes; a generated layout: benchmarks/test_numbers.py."""

from functools import partial

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tests.helpers.refusal import refused
from vidcorr.datasets import Jhmdb
from vidcorr.datasets.generated import write_jhmdb
from vidcorr.datasets.jhmdb import JOINTS
from vidcorr.videos.files import DataError

refusal = partial(refused, DataError, ".", Jhmdb)


@pytest.fixture
def root(tmp_path):
    return write_jhmdb(tmp_path / "jhmdb", 2, frames=4, size=(60, 80))


def test_clips_of_jhmdb_are_read_as_they_are(real_data):
    clips = Jhmdb(real_data("jhmdb"))
    expected = [(40, (240, 320), (40, 15, 2)), (37, (240, 320), (37, 15, 2))]
    assert [(s.num_frames, s.size, s.points.shape) for s in clips] == expected
    clip = clips[0]
    raw = loadmat(real_data("jhmdb/joint_positions/catch") / clip.name / "joint_positions.mat")["pos_img"]
    t, k = 11, JOINTS.index("left wrist")
    assert clip.points[t, k].tolist() == [raw[0, k, t] - 1, raw[1, k, t] - 1]
    above = clip.points[:, JOINTS.index("face"), 1] < clip.points[:, JOINTS.index("belly"), 1]
    assert above.all()


def test_subsets_by_the_number_in_the_list(root):
    (root / "splits/walk_test_split1.txt").write_text("synthetic_walk_0.avi 1\n")
    assert [s.name for s in Jhmdb(root)] == ["synthetic_wave_1"]
    assert [s.name for s in Jhmdb(root, subset="train")] == ["synthetic_walk_0"]


def test_lists_and_joints_of_another_form_are_refused(root):
    assert "splits: no clip of the test subset" in refusal(root, split=2)
    path = root / "joint_positions/walk/synthetic_walk_0/joint_positions.mat"
    path.write_bytes(b"MATLAB" * 40)
    assert "joint_positions.mat: not a readable .mat file" in refusal(root)
    savemat(path, {"pos_img": np.zeros((3, 15, 4))})
    assert "pos_img is (3, 15, 4); expected 2 × 15" in refusal(root)
    (root / "splits/walk_test_split1.txt").write_text("synthetic_walk_0.avi\n")
    assert "expected a clip's name and 1 or 2" in refusal(root)
