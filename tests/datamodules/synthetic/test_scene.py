"""Rendered videos: deterministic, exact, and with sprites that travel, enter and stay in sight."""

import numpy as np
import pytest

from datamodules.synthetic import render_video
from datamodules.synthetic.sprites import OVERSAMPLING, TEXTURE_FAMILIES, Motion, Wave, draw_texture, palette, paste


def test_same_arguments_same_video_and_fewer_frames_a_prefix() -> None:
    video, masks = render_video(3, 7, 6, (64, 80))
    again, masks_again = render_video(3, 7, 4, (64, 80))
    assert np.array_equal(video[:4], again)
    assert np.array_equal(masks[:4], masks_again)


def test_sprites_travel_and_keep_being_seen() -> None:
    for index in range(4):
        _, masks = render_video(0, index, 48, (128, 128))
        centres = []
        for mask in masks:
            y, x = np.nonzero(mask == mask.max())
            centres.append((x.mean(), y.mean()))
        assert np.ptp(np.array(centres), axis=0).max() > 20
        for number in range(1, masks.max() + 1):
            assert (masks == number).any((1, 2)).mean() > 0.7


def test_sprites_may_appear_later() -> None:
    video, masks = render_video(0, 0, 8, (64, 80), (3, 3), latest=6)
    whole, _ = render_video(0, 0, 8, (64, 80), (3, 3))
    first = [int(np.flatnonzero((masks == number).any((1, 2)))[0]) for number in (1, 2, 3)]
    assert first[0] == 0
    assert max(first) > 0
    assert np.array_equal(video[7], whole[7])
    assert not np.array_equal(video[0], whole[0])


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


def test_textures_of_a_palette_share_their_mean_colour_and_not_their_structure() -> None:
    rng = np.random.default_rng(0)
    colours = palette(rng)
    textures = {family: draw_texture(rng, family, 160, 10, colours) for family in TEXTURE_FAMILIES}
    for family, texture in textures.items():
        assert texture.shape == (160, 160, 3), family
        assert np.abs(texture.mean((0, 1)) - colours.mean(0)).max() < 4, family
        assert texture.std() > 15, family


def test_drift_bounces_inside_its_box() -> None:
    still = Wave(0, 1, 0)
    motion = Motion((4, 5), (3, -2), (0, 0, 10, 6), (still, still), still, still)
    assert motion.centre(2) == (10, 1)
    assert motion.centre(3) == (7, 1)  # 13 → 10 − 3; −1 → 1
    assert np.allclose(motion.matrix(0), [[1, 0, 4], [0, 1, 5]])
