"""Identity of a result: each annotation, list and metadata file by its bytes, frames by size."""

import json
import re

import pytest

import vidcorr
from tests.helpers.benchmark_data import arguments_of, benchmark_classes, data_for
from vidcorr.benchmarks.identity import identity_of


def vos(folder):
    """Videos with a list beside the data."""
    root = data_for("vos", folder)
    (folder / "list.txt").write_text("synthetic-000\nsynthetic-001\n")
    return {"root": root, "split": str(folder / "list.txt")}


UNUSED = {
    "DavisBenchmark": "2016/",
    "VosBenchmark": "ImageSets|2016/",
    "YoutubeVosBenchmark": "valid/",
}
"""Benchmark → expression of files in its folder that it does not read."""


def key(kind, arguments):
    return json.dumps(identity_of(kind(**arguments)), sort_keys=True)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("kind", benchmark_classes()[::-1], ids=str)
def test_each_annotation_counts_by_its_bytes_and_each_frame_by_its_size(kind, tmp_path):
    arguments = vos(tmp_path) if kind is vidcorr.VosBenchmark else arguments_of(kind, tmp_path / "set")
    before = key(kind, arguments)
    of_data = kind(**arguments).digests
    assert (key(kind, arguments), kind(**arguments).digests) == (before, of_data)
    unused = UNUSED.get(kind.__name__, "synthetic.json")
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "synthetic.json")
    files = [path for path in files if not re.search(unused, path.as_posix()) and "_all_frames" not in path.as_posix()]
    for path in {path.parent: path for path in files}.values():  # one of each folder
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert key(kind, arguments) != before, path
        if str(path) not in map(str, arguments.values()):  # a file that an argument names is no part of a sequence
            assert kind(**arguments).digests != of_data, path
        # frames; JHMDB's are PNGs in Rename_Images
        if path.suffix in (".jpg", ".mp4") or "Rename_Images" in path.parts:
            path.write_bytes(content[:-1] + b"\0")  # as long as before: it counts if it is the first of a sequence
            assert (key(kind, arguments) == before) == (kind(**arguments).digests == of_data), path
        path.write_bytes(content)
        assert key(kind, arguments) == before, path
