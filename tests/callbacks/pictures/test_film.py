"""The film of a sequence."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from callbacks.pictures.film import Film


def test_a_long_sequence_is_shown_in_part(tmp_path: Path) -> None:
    film = Film(tmp_path, "walk", 100, "semantic")
    wanted = film.chosen
    assert (len(wanted), wanted[0], wanted[-1]) == (32, 0, 99)
    for _ in wanted:
        film.add(np.zeros((120, 160, 3), np.uint8))
    film.close({"mIoU": (range(2), [0.5, float("nan")])})
    assert Image.open(tmp_path / "films/semantic/walk.webp").size == (8 * 320, 4 * 240)
    assert json.loads((tmp_path / "films/semantic/walk.json").read_text())["curves"] == {"mIoU": [[0, 1], [0.5, None]]}
