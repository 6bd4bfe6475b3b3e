"""Display matrices: the eight orientations, in between, and nonsense, through real mp4 files."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from datamodules.reading.container import upright
from datamodules.reading.decoding import VideoFile
from datamodules.synthetic.writers import write_mp4

ONE = 1 << 16
MATRICES = {  # (a, b, c, d): the shown picture from the stored one
    "none": ((1, 0, 0, 1), lambda x: x),
    "hflip": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "vflip": ((1, 0, 0, -1), lambda x: x[::-1]),
    "half turn": ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "transpose": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda x: x.swapaxes(0, 1)[::-1, ::-1]),
    "zero": ((0, 0, 0, 0), lambda x: x),
    "singular": ((0, 0, 0, 1), lambda x: x),
}


def write(path: Path, linear: tuple[int, int, int, int]) -> None:
    """A video of four frames whose track header holds the matrix."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :20] = 255, 0, 0  # no two of the eight orientations look alike
    picture[32:, 40:] = 0, 0, 255
    picture[:16, 40:] = 0, 255, 0
    write_mp4(path, np.stack([picture] * 4))
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    assert int.from_bytes(content[place : place + 4], "big") == ONE
    a, b, c, d = linear
    for n, value in enumerate((a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)):
        content[place + 4 * n : place + 4 * n + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrices(tmp_path: Path, name: str) -> None:
    linear, shown = MATRICES[name]
    write(tmp_path / "plain.mp4", (1, 0, 0, 1))
    write(tmp_path / "turned.mp4", linear)
    with VideoFile(tmp_path / "plain.mp4") as plain, VideoFile(tmp_path / "turned.mp4") as turned:
        expected = shown(plain.read([2])[0])
        assert np.array_equal(turned.read([2])[0], expected)
        assert np.array_equal(list(turned.frames())[2], expected)


def test_odd_angles_go_to_the_nearest_quarter_turn() -> None:
    for degrees in range(0, 360, 10):
        angle = np.deg2rad(degrees)
        a, b, c, d = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
        matrix = np.array([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]).astype(np.int32)
        frame = SimpleNamespace(side_data={"DISPLAYMATRIX": matrix})
        picture = np.arange(6).reshape(2, 3)
        expected = np.rot90(picture, -round(degrees / 90) % 4)
        assert np.array_equal(upright(picture, frame), expected), degrees  # type: ignore[arg-type]
