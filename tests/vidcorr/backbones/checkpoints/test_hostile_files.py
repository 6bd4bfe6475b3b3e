"""Files of torch.save that lie about themselves: nothing of them runs, and none takes memory beyond its size."""

import io
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.backbones.checkpoints import ForeignCheckpoint, read_content

MANY = struct.pack("<i", 10**9)


def save(content, path, **options):
    torch.save(content, path, **options)
    return path


def rewritten(path, old, new):
    """Write an archive of torch.save again, its pickle changed, all checksums right."""
    output = path.with_name("changed.ckpt")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(output, "w") as out:
        for member in archive.infolist():
            data = archive.read(member)
            if member.filename.endswith("/data.pkl"):
                assert old in data
                data = data.replace(old, new, 1)
            out.writestr(member.filename, data)
    return output


def archive_of(pickled, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
    return path


def compressed(file):
    """Write an archive whose pickle is 10 MB once it is unpacked."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2) + bytes(10**7))
    return file


@pytest.mark.parametrize("new", [True, False])
def test_what_runs_leave_passes(new, tmp_path):
    weight = torch.rand(4, 3, dtype=torch.float32).t()
    content = {
        "state_dict": OrderedDict(a=weight, b=weight[1:], c=torch.nn.Parameter(torch.zeros(())), d=torch.empty(0, 3)),
        "types": [torch.zeros(2, dtype=kind) for kind in (torch.bfloat16, torch.int64, torch.bool, torch.float16)],
        "milestones": Counter([3, 3]),
        "plain": [None, True, -1, 2**70, 1.5, "é", (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"x": []}],
        "size": torch.Size((1, 2)),
        "dtype": torch.float32,
    }
    found = read_content(save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new))
    assert torch.equal(found["state_dict"]["a"], weight)
    assert found["plain"] == content["plain"]


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("named", [print, subprocess.Popen, bytearray, torch.Tensor])
def test_code_and_allocators_are_not_named(named, new, tmp_path):
    class Attack:
        def __reduce__(self):
            return named, (10,)

    path = save({"a": Attack()}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    assert refused(ForeignCheckpoint, named.__name__, read_content, path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"M,\x01K\x07\x86", b"J" + MANY + b"K\x07\x86"),  # shape
        (b"M,\x01K\x07\x86", b"J" + struct.pack("<i", -300) + b"K\x07\x86"),
        (b"K\x07K\x01\x86", b"K\x07J" + MANY + b"\x86"),  # stride
        (b"M4\x08", b"K\x07"),  # length of the storage
    ],
)
def test_a_tensor_stays_within_its_storage(old, new, tmp_path):
    path = rewritten(save({"a": torch.zeros(300, 7)}, tmp_path / "a.ckpt"), old, new)
    assert refused(ValueError, "damaged, or foreign", read_content, path)


def test_a_storage_that_claims_more_than_the_file_takes_no_memory(tmp_path):
    path = rewritten(
        save({"a": torch.zeros(300, 7)}, tmp_path / "a.ckpt"), b"M4\x08", b"\x8a\x08" + struct.pack("<q", 2**60)
    )
    assert read_content(path)["a"].untyped_storage().nbytes() <= path.stat().st_size
    old = save({"a": torch.zeros(300)}, tmp_path / "b.ckpt", _use_new_zipfile_serialization=False)
    content = old.read_bytes()
    for end in (b"N", b"\x85"):
        assert b"M,\x01" + end in content
        old.write_bytes(content.replace(b"M,\x01" + end, b"J" + MANY + end, 1))
        refused(ValueError, "damaged, or foreign", read_content, old)


def test_tensors_are_not_much_larger_than_the_file(tmp_path):
    block = torch.zeros(2**20)
    assert len(read_content(save({f"{n}": block for n in range(4)}, tmp_path / "tied.ckpt"))) == 4
    many = {"optimizer_states": [[block.view(-1)] for _ in range(100)]}
    for content in (many, {"a": torch.zeros(1).expand(10**6, 1000)}):
        refused(ValueError, "together are much larger", read_content, save(content, tmp_path / "a.ckpt"))


def test_compressed_parts_are_refused(tmp_path):
    assert refused(ValueError, "compressed", read_content, compressed(tmp_path / "bomb.ckpt"))


@pytest.mark.parametrize("large", [False, True])
def test_a_zip_with_two_directories_is_refused(large, tmp_path):
    """Python takes the directory before the end of the file, torch the one at the place that the end names."""
    harmless, bomb = io.BytesIO(), compressed(io.BytesIO())
    if large:
        torch.save({"a": torch.zeros(1)}, harmless)
    else:
        archive_of(pickle.dumps({}, 2), harmless)
    path = tmp_path / "a.ckpt"
    # what stands before moves all places: Python corrects them, torch does not
    path.write_bytes(bomb.getvalue() + harmless.getvalue())
    assert "data.pkl" in zipfile.ZipFile(path).namelist()[0]
    refused(ValueError, "damaged, or foreign", read_content, path)


@pytest.mark.slow
def test_shared_and_deep_values_cost_nothing(tmp_path):
    shared = [0]
    for _ in range(60):
        shared = [shared, shared]  # 2**60 values in a pickle of 500 bytes
    deep = b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * 100_000 + b"a" * 99_999 + b"s."
    tracemalloc.start()
    assert len(read_content(save({"a": shared}, tmp_path / "a.ckpt"))["a"]) == 2
    assert len(read_content(archive_of(deep, tmp_path / "b.ckpt"))["a"]) == 1
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


def doubled(content=b""):
    """The instructions of a value that holds itself twice, 60 times over: 2**60 numbers."""
    return b"\x80\x02" + content + b"K\x01" + b"q\x00h\x00\x86" * 60


@pytest.mark.parametrize(
    "pickled",
    [
        doubled(b"}") + b"K\x01s.",  # a key, which is hashed
        doubled(b"}K\x01") + b"K\x01ss.",
        doubled() + b")R.",  # called, which torch prints
        b"\x80\x02" + b"]" + b"q\x00]h\x00ah\x00a" * 60 + b")R.",
        b"\x80\x02}" + b"K\x01" + b"\x85" * 10**6 + b"K\x01s.",  # too deep to be hashed
    ],
)
def test_endless_keys_and_functions_are_refused_at_once(pickled, tmp_path):
    path = archive_of(pickled, tmp_path / "a.ckpt")
    assert refused(ValueError, "its values repeat each other endlessly", read_content, path)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}q\x01h\x05.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x05\x96\xff\xff\xff\xff\x7f\x00\x00\x00.",  # a bytearray of 500 GB
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text of 2 GB
        b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.",
        b"",
    ],
)
def test_nonsense_is_damage(pickled, tmp_path):
    bare = tmp_path / "b.ckpt"
    bare.write_bytes(pickled)
    for path in (archive_of(pickled, tmp_path / "a.ckpt"), bare):
        assert refused(ValueError, "damaged, or foreign", read_content, path)


def test_a_quick_look_leaves_the_checksums_out(tmp_path):
    path = save({"a": torch.rand(3000)}, tmp_path / "a.ckpt")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    read_content(path, checksums=False)
    assert refused(ValueError, "checksum", read_content, path)
