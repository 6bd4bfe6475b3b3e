"""Captions, contact sheets and masks over frames, pixel by pixel."""

import numpy as np

from callbacks.pictures import (
    captioned,
)


def has(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_captions_can_be_read_on_any_colour() -> None:
    for colour, ink in (((255, 255, 255), 0), ((20, 40, 90), 255)):
        line = captioned(np.zeros((4, 80, 3), np.uint8), "frame", colour)[:18]
        assert has(line, (ink,) * 3, 40).sum() > 20
        assert has(line, colour, 0).mean() > 0.5
