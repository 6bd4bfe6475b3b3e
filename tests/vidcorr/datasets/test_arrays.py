"""Pickles and .npz read without running anything: what pickle reads, all else refused in one line; sets unpickled."""

import os
import pickle
from unittest.mock import Mock

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.tap_vid import element
from vidcorr.datasets import TapVid
from vidcorr.datasets.arrays import read_pickle
from vidcorr.videos.files import DataError

CONTENT = {
    "video": np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3),
    "jpeg": np.array([b"\xff\xd8 one \xff\xd9", b"\xff\xd8 another one \xff\xd9"]),
    "points": np.linspace(0, 1, 16).reshape(2, 4, 2),
    "float32": np.linspace(0, 1, 300, dtype=np.float32),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "big endian": np.arange(5, dtype=">i4"),
    "occluded": np.array([[True, False]]),
    "scalar": np.float64(2.5),
    "list": [b"short", b"long" * 200, "text", 7, -70000, 2**40, None, True, (1, 2, 3, 4), 1.5],
}


def kinds(content):
    return {key: value.dtype.str[1:] for key, value in content.items() if hasattr(value, "dtype")}


@pytest.mark.parametrize("protocol", [2, 5])
def test_the_same_content_as_pickle_reads(tmp_path, protocol):
    content = pickle.dumps(CONTENT, protocol)
    if protocol == 2:  # the names under which numpy 1 wrote arrays
        content = content.replace(b"numpy._core.", b"numpy.core.")
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    found = read_pickle(path)
    np.testing.assert_equal(found, CONTENT)
    assert kinds(found) == kinds(CONTENT)


def test_nothing_is_called(tmp_path):
    marker = tmp_path / "was-here"
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"video": Mock(__reduce__=Mock(return_value=(os.mkdir, (str(marker),))))}))
    assert str(path) in refused(DataError, "refused: it asks for", read_pickle, path)
    assert not marker.exists()


def test_an_npz_that_is_damaged_or_holds_objects_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **element() | {"points": np.array([None])})
    refused(DataError, "Object arrays", TapVid, path)
    path.write_bytes(b"PK\x03\x04 nothing")
    assert refused(DataError, r"not an \.npz file", TapVid, path)


@pytest.mark.parametrize("state", ["type", "array", "objects"])
def test_a_types_state_of_the_files_own_reaches_no_memory(state, tmp_path):
    """An unpickled type of objects, or a size of another number than its bytes, would be read as addresses."""
    text = "O8" if state == "objects" else "f8"
    items = {"type": (3, "|", None, None, None, 8, 8, 63), "array": (3, "<", None, None, None, -1, -1, 0)}
    of_file = items.get(state, items["array"])
    length = 2**40 if state == "array" else 1

    class Type:
        def __reduce__(self):
            return np.dtype, (text, False, True), of_file

    class Array:
        def __reduce__(self):
            kind = np.zeros(1).__reduce__()[0]
            return kind, (np.ndarray, (0,), b"b"), (1, (length,), Type(), False, b"A" * 8)

    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": Array()}, 4))
    if state == "type":
        assert read_pickle(path)["a"].dtype == np.float64
    else:
        refused(DataError, "x.pkl: .*no plain numbers" if state == "objects" else "x.pkl: ", read_pickle, path)
