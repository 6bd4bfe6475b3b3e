"""Sizes of a video as it is and as it is seen."""

import torch
from torch import nn

from callbacks.tracking.frame_encoder import View
from lightning_modules.functional import PropagationProtocol
from tests.helpers.refusal import refused

VFS = PropagationProtocol.named("vfs")


def test_large_frames_are_reduced_and_points_come_back_to_their_places() -> None:
    view = View.of(nn.Identity(), (80, 120), VFS, 40)
    assert (view.seen, view.covered, view.covered_of_own) == ((40, 60), (40, 60), (80, 120))
    frame = torch.zeros(3, 80, 120, dtype=torch.uint8)
    frame[:, :2, :2] = 200
    assert view.reduce(frame)[:, 0, 0].tolist() == [200] * 3  # an area average, not a sample
    corner = torch.tensor([[-0.5, -0.5], [119.5, 79.5]], dtype=torch.float64)
    assert view.reduce_points(corner).tolist() == [[-0.5, -0.5], [59.5, 39.5]]
    torch.testing.assert_close(view.restore_points(view.reduce_points(corner)), corner)


def test_a_protocol_with_a_size_of_its_own_sees_frames_at_their_own_size() -> None:
    protocol = VFS.with_changes(input_size=(32, 32))
    assert View.of(nn.Identity(), (80, 120), protocol, 40).seen == (80, 120)
    refused(ValueError, "short_side must be at least 1 px", View.of, nn.Identity(), (80, 120), VFS, 0)
