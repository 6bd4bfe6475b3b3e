"""Animations of tracked sequences, and their curves."""

import json

import numpy as np
from PIL import Image

from vidcorr.results.pictures.animations import SequenceAnimation


def test_a_long_sequence_is_shown_in_part(tmp_path):
    animation = SequenceAnimation(tmp_path, "walk", 100, "semantic")
    wanted = animation.chosen
    assert (len(wanted), wanted[0], wanted[-1]) == (32, 0, 99)
    for _ in wanted:
        animation.add(np.zeros((120, 160, 3), np.uint8))
    animation.close({"mIoU": (range(2), [0.5, float("nan")])})
    assert Image.open(tmp_path / "animations/semantic/walk.webp").size == (8 * 320, 4 * 240)
    assert not (tmp_path / "animations/semantic/walk.truth.webp").exists()
    assert json.loads((tmp_path / "animations/semantic/walk.json").read_text())["curves"] == {
        "mIoU": [[0, 1], [0.5, None]]
    }
