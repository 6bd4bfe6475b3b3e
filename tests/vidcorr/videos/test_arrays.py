"""Pickles and .npz read without running anything: what pickle reads, all else refused in one line; sets unpickled."""

import os
import pickle
import resource
import struct

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.tap_vid import Call, element, written
from vidcorr.commands.unpickle import unpickle
from vidcorr.datasets import TapVid
from vidcorr.videos import arrays
from vidcorr.videos.arrays import PickledArray, read_pickle
from vidcorr.videos.files import partial_path
from vidcorr.videos.guards import DataError

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


def loaded(value):
    """Return the content of a stored value."""
    if isinstance(value, PickledArray):
        return value.array
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {key: loaded(item) for key, item in value.items()}
    return [loaded(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_same_content_as_pickle_reads(tmp_path, protocol):
    content = pickle.dumps(CONTENT, protocol)
    if protocol == 2:  # the names under which numpy 1 wrote arrays
        content = content.replace(b"numpy._core.", b"numpy.core.")
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    found = loaded(read_pickle(path))
    assert found.keys() == CONTENT.keys()
    for key, value in CONTENT.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype
        else:
            assert found[key] == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, os.mkdir, getattr, np.load, np.fromfile, pickle.loads])
def test_nothing_is_called(tmp_path, protocol, function):
    marker = tmp_path / "was-here"
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"video": Call(function, str(marker))}, protocol))
    line = refused(DataError, "refused: it asks for", read_pickle, path)
    assert str(path) in line
    assert not marker.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        b"cnumpy\nndarray\n(}X\x05\x00\x00\x00arrayK\x01s\x86b.",  # a state for the class itself
        b"cbuiltins\ndict\n.",
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR.",
        b"cnumpy\ndtype\n(X\x0b\x00\x00\x00S9999999999\x89\x88tR.",
        b"(i os\nsystem\n.",
        b"\x82\x01.",
        b"Pname\n.",
        b"K\x01Q.",
        b"\x97.",
        b"]K\x01b.",
        b"(",
        b"",
        b"h\x09.",
        b"}]K\x01s.",
        b"r\xff\xff\xff\x7f.",  # for which Python's fast unpickler allocates 32 GB
        b"(" * 1000 + b"]" * 1000 + b".",
        b"X\xff\xff\xff\xff.",
        b"\x8e" + struct.pack("<Q", 2**62) + b".",
        b"\x96" + struct.pack("<Q", 2**63) + b".",
        b"\x8c\x02\xff\xfe.",
        # an array of 2 × 3 bytes that claims 2**31 × 2**31
        pickle.dumps(np.zeros((2, 3), np.uint8), 2)[2:].replace(b"K\x02K\x03", b"J\xff\xff\xff\x7f" * 2),
    ],
)
def test_other_instructions_are_refused_in_one_line(tmp_path, monkeypatch, instructions):
    monkeypatch.setattr(arrays, "MOST_STEPS", 1000)
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04" + instructions)
    assert refused(DataError, ".", read_pickle, path).startswith(f"{path}: ")


def test_every_cut_and_many_changed_bytes_end_in_one_line_or_in_plain_data(tmp_path):
    whole = pickle.dumps({"points": np.zeros((2, 2)), "list": [b"x" * 300]}, 4)
    path = tmp_path / "x.pkl"
    generator = np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 20)]
    for _ in range(100):
        content = bytearray(whole)
        content[generator.integers(len(content))] = generator.integers(256)
        damaged.append(bytes(content))
    messages = []
    for content in damaged:
        path.write_bytes(content)
        try:
            read_pickle(path)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > len(whole) // 20
    assert not any("\n" in message for message in messages)


def test_only_what_is_looked_at_comes_into_memory(tmp_path):
    path = tmp_path / "x.pkl"
    with path.open("wb") as file:  # 2 GB, nearly all of it a hole
        frames = np.zeros((2**18, 64, 128), np.uint8).__reduce_ex__(5)
        file.write(pickle.dumps([], 4)[:2] + b"cnumpy._core.numeric\n_frombuffer\n(\x8e" + struct.pack("<Q", 2**31))
        file.seek(2**31, os.SEEK_CUR)
        dtype = pickle.dumps(frames[1][1], 2)[2:-1]
        file.write(dtype + b"(J\x00\x00\x04\x00K\x40K\x80tX\x01\x00\x00\x00CtR.")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = read_pickle(path)
    assert stored.array.shape == (2**18, 64, 128)
    assert not stored.array[2**17].any()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_an_npz_with_objects_or_compressed_is_refused(tmp_path):
    video = element()
    path = tmp_path / "x.npz"
    np.savez(path, **video | {"points": np.array([None])})
    refused(DataError, "Object arrays", TapVid, path)
    np.savez_compressed(path, **video)
    refused(DataError, "is compressed", TapVid, path)
    np.savez(path, **video)
    claimed = path.read_bytes().replace(b"(5, 12, 16, 3)", b"(5, 12, 96, 3)")
    path.write_bytes(claimed)
    assert refused(DataError, "or damaged", TapVid, path)
    path.write_bytes(b"PK\x03\x04 nothing")
    assert refused(DataError, r"not an \.npz file", TapVid, path)


def test_a_folder_of_npz_keeps_one_open(tmp_path):
    for name in ("a", "b", "c"):
        np.savez(tmp_path / f"{name}.npz", **element())
    before = len(os.listdir("/proc/self/fd"))
    videos = TapVid(tmp_path)
    assert all((video.frame(2).permute(1, 2, 0).numpy() == element()["video"][2]).all() for video in videos)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


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
