"""Records of videos: frames in their turn, RGB whatever the file holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.datasets import Davis
from datamodules.datasets.layout_files import read_frame
from datamodules.reading.errors import DecodingError
from datamodules.synthetic import write_davis


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_davis(tmp_path / "davis", 2, frames=5, size=(64, 80), sprites=(2, 2))


def test_grey_frames_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(path)
    assert np.array_equal(read_frame(path), np.broadcast_to(np.arange(12).reshape(3, 4), (3, 3, 4)))


def test_error_of_a_frame_comes_in_its_turn(root: Path) -> None:
    path = root / "JPEGImages/480p/synthetic-000/00002.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    frames = Davis(root)[0].read()
    assert next(frames).shape == next(frames).shape
    with pytest.raises(DecodingError, match=r"00002\.jpg: truncated"):
        next(frames)
