"""Packing of videos into shards, which give what the files gave."""

import json
import os
import shutil
import sys
import tarfile

import fsspec
import pytest

from cli import main
from datamodules import VideoDataModule
from datamodules.reading.guards import DataError, DecodingError
from datamodules.reading.shards import ShardedVideos
from datamodules.tools.shard import write_shards
from tests.helpers.epochs import batches, same
from tests.helpers.numbered_videos import write_folder, write_video
from tests.helpers.refusal import refused

VIDEOS = 9


def make(source, **arguments):
    defaults = {"frames": 3, "size": 24, "batch_size": 2, "num_workers": 0, "validation_fraction": 0.2}
    data = VideoDataModule(source, **(defaults | arguments))
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Nine videos of three containers, some in folders."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(VIDEOS):
        name = (f"{i}.mp4", f"more/{i} b.mkv", f"{i}.avi")[i % 3]
        write_video(root / name, 12 + i, video=i, codec="mpeg4" if i % 3 == 2 else "libx264", options={"g": "5"})
    return root


@pytest.fixture(scope="module")
def shards(videos, tmp_path_factory):
    """The same, in shards of few videos."""
    folder = tmp_path_factory.mktemp("shards") / "packed"
    largest = max(path.stat().st_size for path in videos.rglob("*.*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.tools.shard._MB", largest)
        assert write_shards(videos, folder, workers=2, megabytes=2) > 2
    return folder


@pytest.fixture
def store(shards):
    """The shards in the store of this process's memory; gives its URL and the ranges that are asked for."""
    memory, asked = fsspec.filesystem("memory"), []
    for path in shards.iterdir():
        memory.pipe(f"/bucket/{path.name}", path.read_bytes())
    plain = memory.cat_file

    def cat_file(path, start=None, end=None):
        asked.append((os.path.basename(path), start, end))
        return plain(path, start, end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "cat_file", lambda self, *arguments: cat_file(*arguments))
        yield "memory://bucket", asked
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("change", [{}, pytest.param({"samples_per_epoch": 8}, marks=pytest.mark.slow)])
def test_the_batches_are_those_of_the_files(videos, shards, change):
    files, packed = make(videos, **change), make(shards, **change)
    assert packed.held_out.numbers.tolist() == files.held_out.numbers.tolist()
    assert len(packed.held_out) == 2
    for epoch in range(2):
        assert same(batches(files, epoch), batches(packed, epoch))
    assert same(list(files.val_dataloader()), list(packed.val_dataloader()))
    assert same(batches(files), batches(make(shards, num_workers=2, **change)))


def test_a_list_keeps_its_order_and_labels(videos, tmp_path):
    listing = videos / "list.txt"
    listing.write_text("2.avi 5\nmore/1 b.mkv 3\n0.mp4 4\n")
    try:
        main(["shard", str(listing), str(tmp_path / "shards")])
        assert same(
            batches(make(listing, validation_fraction=0, batch_size=3)),
            batches(make(tmp_path / "shards", validation_fraction=0, batch_size=3)),
        )
    finally:
        listing.unlink()
    assert [entry.label for entry in ShardedVideos(tmp_path / "shards").videos] == [5, 3, 4]


def test_an_object_store_is_read_by_ranges(shards, store):
    url, asked = store
    assert same(batches(make(shards)), batches(make(url)))
    assert len(asked) == 1 + len(make(shards).training) // 2 * 2  # the index, and one request for each clip
    assert same(batches(make(shards)), batches(make(url, num_workers=1)))


def test_a_store_that_does_not_answer_ends_the_run_instead_of_its_videos(store):
    data = make(store[0])
    fsspec.filesystem("memory").rm("/bucket/00000.tar")
    with pytest.raises(OSError, match=r"^memory://bucket/00000\.tar: cannot be read: "):
        batches(data)
    refused(DataError, r"^memory://nothing/index\.json: cannot be read: ", make, "memory://nothing")


def test_without_its_client_a_url_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert refused(DataError, r'^s3://box/videos: .*s3fs.*pip install "vidcorr\[stream\]"', make, "s3://box/videos")


def test_a_shard_that_is_cut_off_loses_its_videos_only(videos, tmp_path):
    write_shards(videos, tmp_path / "shards")
    index = json.loads((tmp_path / "shards" / "index.json").read_text())
    with (tmp_path / "shards" / "00000.tar").open("r+b") as file:
        file.truncate(index["begins"][-1] + index["sizes"][-1] - 10)
    last = ShardedVideos(tmp_path / "shards").videos[-1].path
    refused(DecodingError, r"00000\.tar: the shard is truncated", ShardedVideos(tmp_path / "shards").read, VIDEOS - 1)
    seen = batches(make(tmp_path / "shards", batch_size=VIDEOS, validation_fraction=0))
    failures = [line for batch in seen for line in batch["failures"]]
    assert failures
    assert all(line.startswith(f"{last}: cannot be read from") for line in failures)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("names", 5),
        ("names", []),
        ("sizes", [-1] * VIDEOS),
        ("begins", [10**30] * VIDEOS),
        ("labels", ["x"] * VIDEOS),
        ("shard", [10**6] * VIDEOS),
        ("shards", None),
        ("shards", ["../../outside.tar"]),
    ],
)
def test_damaged_indices_end_in_one_line(shards, tmp_path, column, value):
    shutil.copytree(shards, tmp_path / "copy")
    file = tmp_path / "copy" / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {column: value}))
    assert refused(DataError, r"index\.json: ", ShardedVideos, tmp_path / "copy")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"nonsense", b"[]", b"null"])
def test_indices_that_are_none_end_in_one_line(tmp_path, content):
    (tmp_path / "index.json").write_bytes(content)
    (tmp_path / "00000.tar").write_bytes(b"")
    assert refused(DataError, r"index\.json: not an index of `vidcorr shard`", ShardedVideos, tmp_path)


def test_what_cannot_be_packed_or_opened_says_so(videos, tmp_path):
    write_folder(tmp_path / "frames" / "a", 3)
    with pytest.raises(DataError, match=r"frames/a: a folder of frames; .*vidcorr transcode"):
        write_shards(tmp_path / "frames", tmp_path / "out")
    refused(ValueError, "at least 1 MB, got 0", write_shards, videos, tmp_path / "out", megabytes=0)
    assert not (tmp_path / "out").exists()
    write_shards(videos, tmp_path / "out")
    refused(DataError, "out: holds shards already", write_shards, videos, tmp_path / "out")
    index = tmp_path / "out" / "index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({"shards": content["shards"]}))
    refused(DataError, r"out/index.json: not an index of `vidcorr shard`", make, tmp_path / "out")


def test_a_run_that_was_killed_leaves_no_source_and_is_begun_anew(videos, tmp_path, monkeypatch):
    written = []

    def killed(path, *_):
        path.write_bytes(b"half")
        written.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("datamodules.tools.shard._write_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            write_shards(videos, tmp_path / "out")
    assert written[0].exists()
    refused(DataError, "no videos here", make, tmp_path / "out")
    write_shards(videos, tmp_path / "out")
    assert same(batches(make(videos)), batches(make(tmp_path / "out")))
    with tarfile.open(tmp_path / "out" / "00000.tar") as shard:
        assert {entry.name for entry in shard} == {str(path.relative_to(videos)) for path in videos.rglob("*.*")}
