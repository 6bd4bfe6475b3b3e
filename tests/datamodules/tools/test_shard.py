"""Packing of videos into shards."""

import json
import tarfile

import pytest

from datamodules.reading.errors import DataError
from datamodules.tools.shard import write_shards
from tests.helpers.epochs import batches, same
from tests.helpers.numbered_videos import write_folder
from tests.helpers.refusal import refused
from tests.helpers.shards import make


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
