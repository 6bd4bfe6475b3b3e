"""The best pixels of enlarged heat-maps against those of maps that are enlarged in full."""

import pytest
import torch
import torch.nn.functional as F

from lightning_modules.functional.points.matching import best_pixels


def peaks(count, cells, width):
    """Gaussians at random places, some of them outside the map."""
    generator = torch.Generator().manual_seed(cells)
    positions = torch.rand(count, 2, generator=generator) * (cells + 4) - 2
    at = torch.arange(cells) + 0.5
    squared = (at[:, None] - positions[:, None, None, 1]) ** 2 + (at - positions[:, None, None, 0]) ** 2
    return (-squared / (2 * width**2)).exp()


@pytest.mark.parametrize(
    ("cells", "pixels"), [(32, 256), (64, 256), (19, 266), (20, 160), (128, 256), (3, 24), (16, 17), (9, 63)]
)
def test_they_are_those_of_the_enlarged_map(cells, pixels):
    noise = torch.rand(20, cells, cells, generator=torch.Generator().manual_seed(0))
    maps = torch.cat([peaks(20, cells, 0.75), peaks(10, cells, 6.0), noise, noise**30])
    values, centres = best_pixels(maps, pixels, pixels, 5)
    enlarged = F.interpolate(maps[None], (pixels, pixels), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(values, enlarged.flatten(1).topk(5).values, atol=2e-6, rtol=1e-5)
    y, x = (centres[..., axis].long() for axis in (1, 0))
    assert (centres % 1 == 0.5).all()
    torch.testing.assert_close(enlarged[torch.arange(len(maps))[:, None], y, x], values, atol=2e-6, rtol=1e-5)
    assert all(len(set(positions)) == 5 for positions in (y * pixels + x).tolist())
