"""A patch is drawn where its mask says."""

import numpy as np
import pytest

from datamodules.synthetic.sprites import OVERSAMPLING, paste


def test_mask_is_where_the_sprite_is_drawn() -> None:
    patch = np.full((27, 27, 4), 255, np.float32)
    patch[..., :3] = (200, 100, 50)
    image, ids = np.zeros((40, 50, 3), np.float32), np.zeros((40, 50), np.uint8)
    paste(image, ids, 4, patch, np.array([[1.0, 0, 20], [0, 1.0, 15]]))
    assert np.array_equal(ids == 4, image[..., 0] >= 100)
    assert ids[15, 20] == 4
    side = 27 / OVERSAMPLING
    assert (ids == 4).sum() == pytest.approx(side**2, rel=0.05)
    y, x = np.nonzero(ids)
    assert (x.mean(), y.mean()) == (20, 15)


def test_a_patch_outside_the_frame_draws_nothing() -> None:
    image, ids = np.zeros((20, 20, 3), np.float32), np.zeros((20, 20), np.uint8)
    paste(image, ids, 1, np.full((9, 9, 4), 255, np.float32), np.array([[1.0, 0, 100], [0, 1.0, 5]]))
    assert not ids.any()
    assert not image.any()
