"""Identity of a result: each annotation, list and metadata file by its bytes, frames by size."""

import json
import re
import shutil
from pathlib import Path

import pytest

import vidcorr
from tests.helpers.benchmark_data import arguments_of, benchmark_classes, data_for
from vidcorr.benchmarks.identity import identity_of
from vidcorr.results.cells import measured_cell
from vidcorr.results.records import records_of
from vidcorr.results.rendering import render
from vidcorr.results.tabulate import tabulate


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


@pytest.mark.sampled(5)
@pytest.mark.parametrize("kind", benchmark_classes(), ids=str)
def test_no_difference_between_results_on_other_data_of_the_same_names(kind, tmp_path):
    """The same data in another folder are compared; with one other frame, or annotation, they are not."""
    arguments = arguments_of(kind, tmp_path / "set")
    root = Path(arguments["root"])
    results = {"first": kind(**arguments).evaluate("raw_colour")}
    for name in ("copy", "other"):
        folder = shutil.copytree(tmp_path / "set", tmp_path / name) / root.relative_to(tmp_path / "set")
        if name == "other":
            sequence = kind(**arguments | {"root": folder}).sequences[0]
            file, *_ = getattr(sequence, "frames", ()) or sequence.sources
            file.write_bytes(file.read_bytes() + b"\n")
        results[name] = kind(**arguments | {"root": folder}).evaluate("raw_colour")
    records = []
    for name, result in results.items():
        assert result.digests.keys() == {*result.sequences}
        records += records_of(result, result.main_scores(), name, tmp_path / name)
    table = tabulate(records).with_differences("first")
    compared = {name for name, row in table.rows.items() for cell in row.values() if cell.difference is not None}
    assert compared <= {"copy"}
    assert table.rows["first"].keys() == table.rows["copy"].keys()
    assert not table.rows["other"].keys() & table.rows["first"].keys()
    for format in ("text", "md", "tex"):
        assert "have other frames or annotations and are not compared: " in " ".join(render(table, format).split())
    score, *_ = results["first"].main_scores()
    after, before = (measured_cell(records_of(results[name], [score])) for name in ("other", "first"))
    assert after.compared(before)[0] is None
