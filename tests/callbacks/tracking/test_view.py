"""Sizes of a video as it is and as it is seen."""

import pytest
import torch
from torch import nn

from callbacks.tracking.frame_encoder import View, at_stride, maps_of, stride_of
from lightning_modules.functional import PointProtocol, PropagationProtocol

VFS = PropagationProtocol.named("vfs")


class Padded(nn.Module):
    multiple = 16


def test_small_frames_are_seen_as_they_are_and_padded_to_whole_cells() -> None:
    view = View.of(Padded(), (40, 70), VFS, 480)
    assert (view.own, view.seen, view.covered, view.covered_of_own) == ((40, 70), (40, 70), (48, 80), (48, 80))
    frame = torch.randint(256, (3, 40, 70), dtype=torch.uint8)
    assert view.reduce(frame) is frame
    ids = torch.ones(40, 70, dtype=torch.uint8)
    reduced = view.reduce_ids(ids)
    assert reduced.shape == (48, 80)
    assert reduced[:40, :70].all()
    assert reduced.sum() == 40 * 70  # background in the padding
    points = torch.rand(5, 2, dtype=torch.float64) * 40
    assert torch.equal(view.restore_points(view.reduce_points(points)), points)


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
    with pytest.raises(ValueError, match="short_side must be at least 1 px"):
        View.of(nn.Identity(), (80, 120), VFS, 0)


class Maps(nn.Module):
    def __init__(self, **attributes: object) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def test_an_extractor_names_its_maps_and_their_strides() -> None:
    assert maps_of(Maps(stride=8, stage="res4")) == [("", 8)]
    assert maps_of(Maps(stride=[4, 8], stage=["res2", "res3"])) == [("res2", 4), ("res3", 8)]
    assert stride_of(Maps(stride=8)) == 8
    with pytest.raises(ValueError, match="one map of features, got 2; name one stage"):
        stride_of(Maps(stride=[4, 8], stage=["res2", "res3"]))
    with pytest.raises(ValueError, match="the stride of each feature map of Maps, got None"):
        maps_of(Maps())


def test_the_name_of_a_protocol_says_a_stride_that_is_not_its_own() -> None:
    assert at_stride(VFS, VFS.feature_stride) is VFS
    assert at_stride(VFS, 4).name == "vfs+feature_stride=4"
    assert at_stride(PointProtocol.named("fomo"), 4).feature_stride == 4
