"""Files of one sequence: complete or not there, whatever happens while it is tracked."""

from contextlib import suppress

import numpy as np
import torch
from PIL import Image

from callbacks.tracking.record import OVERLAY_FRAMES, SequenceRecord


def draw(frame, found, beside=0):
    return np.full((8, 12, 3), 10 * found + beside, np.uint8)


class Video:
    """A video that remembers what it was given."""

    def __init__(self):
        self.pictures = []
        self.closed = 0

    def add(self, picture):
        self.pictures.append(int(picture[0, 0, 0]))

    def close(self):
        self.closed += 1


def test_five_frames_make_the_overlay_and_all_the_video(tmp_path):
    video, frame = Video(), torch.zeros(3, 8, 12, dtype=torch.uint8)
    with SequenceRecord(9, draw, overlay=tmp_path / "overlays" / "a.png", video=video) as record:
        for t in range(9):
            record.add(frame, [99, t], beside=1)  # the last map is drawn
        record.close()
    assert video.pictures == [10 * t + 1 for t in range(9)]
    assert video.closed == 1
    assert record.written == 9
    sheet = np.asarray(Image.open(tmp_path / "overlays" / "a.png"))
    assert np.array_equal(sheet, record.sheet)
    shown = [t for t in range(9) if (sheet == 10 * t + 1).all(-1).any()]
    assert shown == [0, 2, 4, 6, 8]
    assert len(shown) == OVERLAY_FRAMES


def test_a_video_is_finished_where_tracking_fails():
    video = Video()
    with suppress(RuntimeError), SequenceRecord(3, draw, video=video) as record:
        record.add(torch.zeros(3, 8, 12), [1])
        raise RuntimeError
    assert (video.pictures, video.closed) == ([10], 1)
