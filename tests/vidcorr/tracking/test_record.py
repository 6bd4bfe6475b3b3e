"""Files of one sequence: an overlay of five of its frames."""

import numpy as np
import torch
from PIL import Image

from vidcorr.tracking.record import SequenceWriter


def draw(frame, found, beside=0):
    return np.full((8, 12, 3), 10 * found + beside, np.uint8)


def test_five_frames_make_the_overlay(tmp_path):
    with SequenceWriter(9, draw, overlay=tmp_path / "overlays" / "a.png") as record:
        for t in range(9):
            record.add(torch.zeros(3, 8, 12, dtype=torch.uint8), t, beside=1)
        record.close()
    sheet = np.asarray(Image.open(tmp_path / "overlays" / "a.png"))
    assert np.array_equal(sheet, record.sheet)
    assert [t for t in range(9) if (sheet == 10 * t + 1).all(-1).any()] == [0, 2, 4, 6, 8]
