"""A TAP-Vid set without pickle holds the same videos."""

import numpy as np
import pytest

from datamodules.datasets import TapVid
from datamodules.reading.errors import DataError
from datamodules.reading.files import partial_path
from datamodules.tools.unpickle import unpickle
from tests.helpers.refusal import refused
from tests.helpers.tap_vid import element, written


@pytest.mark.parametrize("jpeg", [False, True])
def test_unpickled_sets_are_the_same(tmp_path, jpeg):
    source = written(tmp_path, [element(jpeg=jpeg), element(frames=3, jpeg=jpeg)], "tapvid_rgb_stacking.pkl")
    (tmp_path / "npz").mkdir()
    partial_path(tmp_path / "npz/001.npz").write_bytes(b"of a run that was killed")
    files = unpickle(source, tmp_path / "npz")
    assert sorted(path.name for path in (tmp_path / "npz").iterdir()) == ["000.npz", "001.npz"]
    assert [file.name for file in files] == ["000.npz", "001.npz"]
    for before, after in zip(TapVid(source), TapVid(tmp_path / "npz"), strict=True):
        assert before.name == after.name
        np.testing.assert_array_equal(before.points, after.points)
        np.testing.assert_array_equal(before.occluded, after.occluded)
        assert all((before.frame(t) == after.frame(t)).all() for t in range(before.num_frames))
    with np.load(files[0], allow_pickle=False) as archive:
        assert archive["video"].dtype.kind == ("S" if jpeg else "u")
    refused(DataError, r"holds 000\.npz already", unpickle, source, tmp_path / "npz")
