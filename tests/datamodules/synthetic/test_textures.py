"""Textures of one palette."""

import numpy as np

from datamodules.synthetic.textures import TEXTURE_FAMILIES, draw_texture, palette


def test_textures_of_a_palette_share_their_mean_colour_and_not_their_structure() -> None:
    rng = np.random.default_rng(0)
    colours = palette(rng)
    textures = {family: draw_texture(rng, family, 160, 10, colours) for family in TEXTURE_FAMILIES}
    for family, texture in textures.items():
        assert texture.shape == (160, 160, 3), family
        assert np.abs(texture.mean((0, 1)) - colours.mean(0)).max() < 4, family
        assert texture.std() > 15, family
