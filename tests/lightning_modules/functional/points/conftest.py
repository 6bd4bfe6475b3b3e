"""Moving features."""

import pytest
import torch

from tests.helpers.points import CELLS, FRAMES, STEP


@pytest.fixture(scope="module")
def moving():
    """Random features, smooth so that places between cells can be found, that move by whole cells and wrap around."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, CELLS, CELLS, generator=generator)
    return torch.stack([features.roll((t * STEP[0], t * STEP[1]), (1, 2)) for t in range(FRAMES)])
