"""Matched points drawn where they went: dots, lines and reference frames whose pixels are known."""

import numpy as np
import torch

from callbacks.pictures import (
    match_sheet,
)
from callbacks.pictures.sheets import POINT_COLOURS
from callbacks.tracking.frame_encoder import frame_features
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol

EVERYWHERE = PropagationProtocol("everywhere", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)


def has(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_a_match_is_drawn_where_the_place_went() -> None:
    frames = torch.full((2, 3, 64, 64), 100, dtype=torch.uint8)
    features = torch.randn(1, 16, 16, 16)
    features = torch.cat([features, features.roll((4, 4), (2, 3))])
    point = torch.tensor([[8, 10]])  # it was at 4, 6
    sheet = match_sheet(frames, features, EVERYWHERE, point, width=64)
    query, reference = sheet[18:82, :64], sheet[18:82, 68:132]
    (colour,) = POINT_COLOURS[:1]
    assert has(query, colour)[34, 42]  # cells are 4 pixels
    assert has(reference, colour)[18, 26]
    assert has(reference, (100, 100, 100))[:9].all()
    assert not has(reference, (100, 100, 100))[26, 34]  # the line between them


def test_a_real_extractor_finds_a_still_frame_in_place(shared_data) -> None:
    from datamodules.datasets import Davis

    frame = Davis(shared_data / "davis")[0].frame(0)[:, ::4, ::4]
    frames = torch.stack([frame, frame])
    extractor = build_feature_extractor("raw_colour")
    features, covered = frame_features(extractor, frames, PropagationProtocol.named("vfs"))
    assert covered == (120, 214)
    protocol = PropagationProtocol.named("vfs").with_changes(topk=1)
    sheet = match_sheet(frames, features, protocol, covered=covered, width=214)
    query, reference = sheet[18:138, :214], sheet[18:138, 218:]
    changed = np.abs(reference.astype(int) - query).sum(-1) > 0
    assert changed.mean() < 0.1  # nothing but dots and rings at the points themselves
