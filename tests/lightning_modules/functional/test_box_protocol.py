"""The protocol of SiamFC tracking: strides in its name, exact geometry, ranges."""

import numpy as np
import torch

from callbacks import SiamFCTracker, TrackingProtocol
from callbacks.tracking.siamfc_tracker import Track
from lightning_modules.backbones import RawColour


def test_another_stride_is_in_the_name_and_geometry_is_exact() -> None:
    assert TrackingProtocol().name == "vfs"
    tracker = SiamFCTracker(RawColour(stride=4))
    assert tracker.protocol.name == "vfs+dilated=false+response_size=none+stride=4"
    assert tracker.protocol.digest() != TrackingProtocol().digest()
    assert SiamFCTracker(RawColour(stride=8)).protocol == TrackingProtocol(dilated=False)
    # the target of a box is moved by whole cells: the response's peak is where the shift says
    track = Track(np.array([50.0, 50, 24, 24]), 48.0, torch.zeros(3, 30, 30))
    response = torch.zeros(1, 3, 35 * 16, 35 * 16)
    response[0, 1, 17 * 16 + 8 + 5 * 16, 17 * 16 + 8] = 1
    tracker.responses = lambda *_: response  # type: ignore[method-assign]
    tracker.step([track], np.zeros((9, 9, 3), np.uint8))
    half = 0.5 * 4 / 16 * 48 / 120
    np.testing.assert_allclose(track.target[:2] - 50, np.array([5 * 4 * 48 / 120, 0]) + half)
