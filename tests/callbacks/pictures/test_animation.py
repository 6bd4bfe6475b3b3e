"""The animation of a sequence, overlay videos and animations."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from callbacks.pictures.animation import MOST_PICTURES, OverlayAnimation, OverlayVideo, SequenceAnimation


def test_a_long_sequence_is_shown_in_part(tmp_path: Path) -> None:
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


def test_a_long_animation_leaves_frames_out(tmp_path):
    animation = OverlayAnimation(tmp_path / "overlay.gif", rate=25)
    for t in range(2 * MOST_PICTURES + 10):
        animation.add(np.full((8, 8, 3), t % 256, np.uint8))
        assert len(animation._pictures) <= MOST_PICTURES
    animation.close()
    with Image.open(tmp_path / "overlay.gif") as image:
        assert image.n_frames == (2 * MOST_PICTURES + 10 + 3) // 4
        assert image.info["duration"] == 160


def test_equal_pictures_give_equal_bytes(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (16, 120, 160, 3), np.uint8)
    for number in range(4):
        video = OverlayVideo(tmp_path / f"{number}.mp4")
        for picture in pictures:
            video.add(picture)
        video.close()
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
