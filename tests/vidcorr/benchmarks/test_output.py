"""The files of a run: pictures of a few frames and sequences, tables and archives in any folder."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from vidcorr.benchmarks.output import Output, SequencePictures


def in_grey(frame, found):
    return np.full((16, 16, 3), found, np.uint8)


def test_five_frames_from_the_first_object_on_are_drawn_of_eight_sequences(tmp_path):
    output = Output(tmp_path)
    output.pictures |= dict.fromkeys("abcdefg")  # seven sequences before
    for name in ("eighth", "ninth"):
        sequence = SimpleNamespace(name=name, num_frames=15, begin=2)
        pictures = SequencePictures(output, sequence, in_grey, kind="part")
        for t in range(13):
            pictures.add(None, 20 * t)
        pictures.close()
    assert list(output.pictures) == [*"abcdefg", "part/eighth"]
    middle = np.array(Image.open(tmp_path / "part/overlays/ninth.png"))[8]
    assert sorted(set(middle[:, 0])) == [0, 60, 120, 180, 240, 255]  # frames 0, 3, 6, 9, 12, white between them


def test_tables_and_archives_lie_in_any_folder_or_nowhere(tmp_path):
    Output(tmp_path).text("a/b/c.txt", "text")
    assert (tmp_path / "a/b/c.txt").read_text() == "text"
    Output(tmp_path).archive({})
    Output(None).archive({Path("a"): Path("b")})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
