"""Records of videos: frames in their turn, RGB whatever the file holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.datasets import Davis
from datamodules.datasets.records import FrameSequence
from datamodules.reading.errors import DecodingError
from datamodules.synthetic import write_davis
from tests.helpers.refusal import refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_davis(tmp_path / "davis", 2, frames=5, size=(64, 80), sprites=(2, 2))


def test_frames_are_channel_first_and_grey_becomes_rgb(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(256, size=(5, 7, 3)).astype(np.uint8)
    for name, pixels in (("colour.png", picture), ("grey.png", picture[..., 0])):
        Image.fromarray(pixels).save(tmp_path / name)
    clip = FrameSequence(name="clip", frames=(tmp_path / "colour.png", tmp_path / "grey.png"), size=(5, 7))
    assert np.array_equal(clip.frame(0), picture.transpose(2, 0, 1))
    assert np.array_equal(clip.frame(1), np.broadcast_to(picture[..., 0], (3, 5, 7)))


def test_a_narrower_frame_is_refused_by_name(root: Path) -> None:
    """On a GPU several frames are stacked; on a CPU its features would not fit the labels."""
    path = root / "JPEGImages/480p/synthetic-000/00002.jpg"
    Image.fromarray(np.zeros((64, 79, 3), np.uint8)).save(path)
    message = r"00002\.jpg: is 79 × 64 px, other frames 80 × 64 px; give frames of one size"
    frames = Davis(root, annotations="first")[0].read()
    assert next(frames).shape == next(frames).shape
    refused(DecodingError, message, next, frames)
    Image.fromarray(np.zeros((64, 79), np.uint8)).save(
        str(path.with_suffix(".png")).replace("JPEGImages", "Annotations")
    )
    refused(DecodingError, message, Davis, root)
