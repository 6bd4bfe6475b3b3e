"""Features that move by whole cells, and points whose tracks in them are known."""

import torch
from torch import Tensor

from lightning_modules.functional import PointProtocol
from lightning_modules.functional.points.track import bilinear_corners

FRAMES, CELLS, CELL = 6, 16, 8

STEP = (1, -1)

"""Rows and columns by which everything moves from frame to frame."""


def protocol(name, **changes):
    return PointProtocol.named(name, "tap_vid").with_changes(**{"scored_size": CELLS * CELL, **changes})


SHARP = {
    "fomo": {},
    "tapir-matching": {"temperature": 0.01},
    "gmrw-chained": {"feature_normalisation": "l2", "temperature": 0.01},
    "fgvc": {"temperature": 0.01, "radius": 4.0},
    "vidcorr": {"temperature": 0.01},
}

"""Changes under which random features are told apart."""


def queries_and_truth(times):
    """Queries at cell centres, and their tracks (N, T, 2)."""
    generator = torch.Generator().manual_seed(1)
    cells = torch.randint(6, 10, (len(times), 2), generator=generator) + 0.5
    since = torch.arange(FRAMES) - torch.tensor(times)[:, None]
    places = cells[:, None] + since[..., None] * torch.tensor([STEP[1], STEP[0]])
    queries = torch.cat([torch.tensor(times)[:, None], cells.flip(1) * CELL], dim=1)
    return queries.double(), places.double() * CELL


def look_up_flow(flow: Tensor, places: Tensor) -> Tensor:
    """Return the flow between cells, bilinearly; beyond the outermost centres that of the border.

    Args:
        flow: `(2, h, w)`, dx, dy in cells at the centre of each cell.
        places: x, y `(N, 2)` in cells.

    Returns:
        `(N, 2)`.
    """
    corners, weights = bilinear_corners(places, flow.shape[1], flow.shape[2])
    return torch.einsum("nk,nkd->nd", weights, flow.flatten(1).T[corners].to(weights))
