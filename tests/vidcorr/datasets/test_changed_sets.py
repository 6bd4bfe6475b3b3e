"""Sets that users change or damage: which videos a reader finds then, or what it says; real sets as they are.

Also tests `datasets/jhmdb_files.py`, `datasets/otb_files.py`.
"""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from tests.helpers.refusal import refused
from vidcorr import datasets
from vidcorr.datasets.generated.writers import write_text
from vidcorr.videos.files import DataError

TABLE = json.loads(Path(__file__).with_name("changed_sets.json").read_text())
"""Sets: writer and its arguments. Cases: set, reader, its arguments, content of changed files, names or message."""
REAL = json.loads(Path(__file__).with_name("real_sets.json").read_text())
"""Reader, its arguments, and of each video its name, frames, their shape, where objects enter, mean of labels."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    written = {}
    for name, (writer, count, arguments) in TABLE["sets"].items():
        written[name] = getattr(datasets.generated, writer)(folder / name, count, **arguments)
    return written


def change(path, content):
    """Write or change a text, write a picture of one value or joints of JHMDB; move a file or folder; remove a file."""
    match content:
        case None:
            path.unlink()
        case {"to": other}:
            (path.parent / other).parent.mkdir(exist_ok=True)
            path.rename(path.parent / other)
        case {"joints": shape}:
            savemat(path, {"pos_img": np.zeros(shape)})
        case {"text": old, "becomes": new}:
            path.write_text(re.sub(old, new, path.read_text()))
        case [height, width, value]:
            Image.new("L", (width, height), value).save(path)
        case _:
            write_text(path, content.split("\n"))


def names(reader, root, arguments):
    """Read all frames and masks of a set; return the names of the videos."""
    found = []
    for video in getattr(datasets, reader)(root, **arguments):
        for t in range(video.num_frames):
            video.frame(t)
        for t in getattr(video, "annotated", ()):
            video.read_mask(t)
        found.append(video.name)
    return found


@pytest.mark.parametrize(("name", "reader", "arguments", "changes", "expected"), TABLE["cases"])
def test_a_changed_set_is_read_or_refused_by_name(sets, tmp_path, name, reader, arguments, changes, expected):
    root = Path(shutil.copytree(sets[name], tmp_path / "set"))
    for path, content in changes.items():
        change(root / path, content)
    read = partial(names, reader, root, arguments)
    if isinstance(expected, str):
        refused(DataError, expected, read)
    else:
        assert read() == expected


def looks(video):
    kind = next(kind for kind in ("points", "boxes", "starts") if hasattr(video, kind))
    starts = sorted(video.starts.values()) if kind == "starts" else [video.begin]
    labels = video.read_mask(starts[-1]).double() if kind == "starts" else getattr(video, kind)
    return [video.name, video.num_frames, list(video.frame(1).shape), starts, round(float(labels.mean()), 4)]


@pytest.mark.parametrize(("folder", "reader", "arguments", "videos"), REAL)
def test_real_sets_are_read_as_they_are(real_data, folder, reader, arguments, videos):
    assert videos == list(map(looks, getattr(datasets, reader)(real_data(folder), **arguments)))


def test_parts_of_otb(monkeypatch, tmp_path):
    refused(DataError, "no sequence; expected", datasets.Otb, tmp_path, None)
    paths = tuple(Path(f"{t}.jpg") for t in range(1, 901))
    monkeypatch.setattr(datasets.otb_files, "list_images", lambda folder: paths)
    monkeypatch.setattr(datasets.otb_files, "image_size", Mock())
    monkeypatch.setattr(datasets.otb_files, "read_boxes", Mock(return_value=np.ones((471, 4))))
    frames = datasets.otb_files._sequence("David", Path("David", "groundtruth_rect.txt")).frames
    assert (frames[0].stem, frames[-1].stem) == ("300", "770")
