"""Files of one sequence: an overlay of five of its frames, and a video of all."""

from unittest.mock import Mock

import numpy as np
import torch
from PIL import Image

from callbacks.tracking.record import OVERLAY_FRAMES, SequenceRecord


def draw(frame, found, beside=0):
    return np.full((8, 12, 3), 10 * found + beside, np.uint8)


def test_five_frames_make_the_overlay_and_all_the_video(tmp_path):
    video, frame = Mock(), torch.zeros(3, 8, 12, dtype=torch.uint8)
    with SequenceRecord(9, draw, overlay=tmp_path / "overlays" / "a.png", video=video) as record:
        for t in range(9):
            record.add(frame, [99, t], beside=1)  # the last map is drawn
        record.close()
        video.close.assert_not_called()
    assert [int(call.args[0][0, 0, 0]) for call in video.add.call_args_list] == [10 * t + 1 for t in range(9)]
    video.close.assert_called_once()
    assert record.written == 9
    sheet = np.asarray(Image.open(tmp_path / "overlays" / "a.png"))
    assert np.array_equal(sheet, record.sheet)
    shown = [t for t in range(9) if (sheet == 10 * t + 1).all(-1).any()]
    assert shown == [0, 2, 4, 6, 8]
    assert len(shown) == OVERLAY_FRAMES
