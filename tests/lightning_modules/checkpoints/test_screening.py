"""Files of torch.save, checked before anything is allocated: names, sizes, checksums."""

import io
import pickle
import random
import struct
import subprocess
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch

from lightning_modules.checkpoints import screening
from lightning_modules.checkpoints.reading import read_content
from lightning_modules.checkpoints.screening import DamagedFile, UnsafeContent, screen


def save(content, path, **options):
    torch.save(content, path, **options)
    return path


def rewritten(path, output, change):
    """Write an archive of torch.save again, its pickle changed, all checksums right."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(output, "w") as out:
        for member in archive.infolist():
            data = archive.read(member)
            out.writestr(member.filename, change(data) if member.filename.endswith("/data.pkl") else data)
    return output


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
    path = save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    screen(path)
    found = read_content(path)
    assert torch.equal(found["state_dict"]["a"], weight)
    assert found["plain"] == content["plain"]


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("named", [print, subprocess.Popen, bytearray, torch.Tensor])
def test_code_and_allocators_are_not_named(named, new, tmp_path):
    class Attack:
        def __reduce__(self):
            return named, (10,)

    path = save({"a": Attack()}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    with pytest.raises(UnsafeContent, match=named.__name__):
        screen(path)


def test_a_shape_beyond_its_storage_is_refused(tmp_path):
    path = save({"a": torch.zeros(300, 7)}, tmp_path / "a.ckpt")
    big = struct.pack("<I", 10**9)
    for old, new in ((b"M,\x01K\x07\x86", b"J" + big + b"K\x07\x86"), (b"K\x07K\x01\x86", b"K\x07J" + big + b"\x86")):
        changed = rewritten(path, tmp_path / "b.ckpt", lambda data, old=old, new=new: data.replace(old, new, 1))
        assert changed.read_bytes() != path.read_bytes()
        with pytest.raises(DamagedFile, match="a tensor of shape"):
            screen(changed)


def test_negative_shapes_and_repeating_strides_are_refused(tmp_path):
    for number, tensor in enumerate((torch.zeros(1).expand(10**6, 1000), torch.zeros(1).expand(2, 2))):
        path = save({"a": tensor}, tmp_path / f"{number}.ckpt")
        with pytest.raises(DamagedFile, match="a tensor of shape"):
            screen(path)
    path = save({"a": torch.zeros(300, 7)}, tmp_path / "a.ckpt")
    minus = b"J" + struct.pack("<i", -300)
    changed = rewritten(path, tmp_path / "b.ckpt", lambda data: data.replace(b"M,\x01K\x07\x86", minus + b"K\x07\x86"))
    with pytest.raises(DamagedFile, match=r"a tensor of shape \(-300, 7\)"):
        screen(changed)


def test_many_tensors_over_one_storage_are_refused(tmp_path):
    block = torch.zeros(2**20)
    save({f"{n}": block for n in range(4)}, tmp_path / "tied.ckpt")
    screen(tmp_path / "tied.ckpt")
    save({f"{n}": block.view(-1) for n in range(100)}, tmp_path / "a.ckpt")
    with pytest.raises(DamagedFile, match="together are much larger"):
        screen(tmp_path / "a.ckpt")


def test_compressed_and_repeated_parts_are_refused(tmp_path):
    bomb = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/data/0", bytes(10**7))
    with pytest.raises(DamagedFile, match="compressed"):
        screen(bomb)
    twice = tmp_path / "twice.ckpt"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", pickle.dumps({"x": 1}, 2))
    with pytest.raises(DamagedFile, match="named twice"):
        screen(twice)


def test_long_pickles_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(screening, "PICKLE_LIMIT", 2**20)
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", bytes(2**20 + 1))
    with pytest.raises(DamagedFile, match="larger than 1 MB"):
        screen(path)
    path.write_bytes(b"\x80\x02" + b"}" * (2**20 + 9) + b".")
    with pytest.raises(DamagedFile, match="longer than 1 MB"):
        screen(path)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02(((.",
        b"\x80\x02}q\x01h\x05.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\x7f\x00\x00\x00.",  # a bytearray of 500 GB
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02\x8a\xff.",
        b"<html>",
        b"",
    ],
)
def test_nonsense_is_damage(pickled, tmp_path):
    archived, bare = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    with zipfile.ZipFile(archived, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
    bare.write_bytes(pickled)
    for path in (archived, bare):
        with pytest.raises(DamagedFile):
            screen(path)


def test_storages_of_the_old_form_are_not_longer_than_the_file(tmp_path):
    path = save({"a": torch.zeros(300)}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    longer = content.replace(b"cpuq", b"cpuq", 1).replace(b"M,\x01N", b"J\xff\xff\xff\x7fN", 1)
    assert longer != content
    path.write_bytes(longer)
    with pytest.raises(DamagedFile, match="longer than the file"):
        screen(path)


def test_every_flipped_bit_is_told_or_harmless(tmp_path):
    content = {"state_dict": {"a": torch.rand(50, 7), "b": torch.rand(30)}, "x": [1, "two"]}
    path = save(content, tmp_path / "a.ckpt")
    correct, draw = path.read_bytes(), random.Random(0)
    told = 0
    for _ in range(400):
        position = draw.randrange(len(correct))
        damaged = bytearray(correct)
        damaged[position] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_content(path)
        except ValueError as error:
            told += "\n" not in str(error)
        else:  # a byte that pads the archive
            assert found["x"] == content["x"]
            assert all(torch.equal(found["state_dict"][name], value) for name, value in content["state_dict"].items())
    assert told > 250


def test_a_stream_of_random_bytes_is_damage(tmp_path):
    draw = random.Random(1)
    for _ in range(100):
        buffer = io.BytesIO()
        torch.save({"a": torch.zeros(9)}, buffer)
        pickled = draw.randbytes(draw.randrange(1, 300))
        path = tmp_path / "a.ckpt"
        path.write_bytes(draw.choice((b"\x80\x02", b"PK\3\4", b"")) + pickled)
        with pytest.raises((DamagedFile, UnsafeContent)):
            screen(path)


def test_a_quick_look_leaves_the_checksums_of_tensors_out(tmp_path):
    path = save({"a": torch.rand(3000)}, tmp_path / "a.ckpt")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    screen(path, checksums=False)
    with pytest.raises(DamagedFile, match="checksum"):
        screen(path)
