"""Feature maps as colours: projections on the principal components, and the padding left out."""

import pytest
import torch
from torch import Tensor, nn

from callbacks.pictures import feature_sheet, principal_colours
from callbacks.tracking.frame_encoder import frame_features
from lightning_modules.functional import PropagationProtocol

EVERYWHERE = PropagationProtocol("everywhere", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)


def test_colours_are_the_projections_on_the_components() -> None:
    features = torch.randn(3, 6, 5, 7) * torch.tensor([9.0, 5, 3, 1, 1, 1]).view(-1, 1, 1)
    colours = principal_colours(features, normalise=False)
    points = features.movedim(1, -1).reshape(-1, 6)
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for number, axis in enumerate(axes[:3]):
        sign = axis[axis.abs().argmax()].sign()
        values = (points @ axis) * sign
        ordered = values.sort().values
        expected = ((values - ordered[1]) / (ordered[-2] - ordered[1])).clamp(0, 1)  # 105 places: one at each end
        torch.testing.assert_close(colours[:, number].flatten(), expected, atol=1e-4, rtol=0)


def test_one_analysis_gives_the_same_content_the_same_colour_whatever_its_sign() -> None:
    features = torch.randn(1, 8, 6, 6)
    twice = torch.cat([features, features.flip(-1)])
    colours = principal_colours(twice)
    torch.testing.assert_close(colours[1], colours[0].flip(-1))
    rotation = torch.eye(8)[:, torch.randperm(8)]
    turned = torch.einsum("dc,tchw->tdhw", rotation, twice)
    torch.testing.assert_close(principal_colours(turned), colours, atol=1e-4, rtol=0)
    assert (principal_colours(torch.ones(1, 4, 2, 2)) == 0.5).all()
    assert principal_colours(torch.randn(1, 2, 3, 3))[:, 2].eq(0.5).all()  # two channels have two components
    with pytest.raises(ValueError, match="T, C, h, w"):
        principal_colours(torch.zeros(1, 4, 1, 1))


class HalfMap(nn.Module):
    """A map that covers more than the frame: sides must be a multiple of 16."""

    multiple, stride = 16, 4

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images[:, :1, ::8, ::8], nn.functional.avg_pool2d(images, 4)]


def test_features_are_those_of_the_padded_frame_and_the_sheet_leaves_the_padding_out() -> None:
    frames = torch.randint(256, (2, 3, 24, 40), dtype=torch.uint8)
    features, covered = frame_features(HalfMap(), frames, EVERYWHERE)
    assert features.shape == (2, 3, 8, 12)
    assert covered == (32, 48)
    torch.testing.assert_close(features[..., :6, :10], nn.functional.avg_pool2d(frames.float() / 255, 4))
    same, _ = frame_features(HalfMap(), frames.float() / 255, EVERYWHERE)
    assert torch.equal(same, features)
    sheet = feature_sheet(frames, features, covered, width=40)
    assert sheet.shape == (18 + 24 + 24, 2 * 40 + 4, 3)
    with pytest.raises(ValueError, match="2 frames, but features of 1"):
        feature_sheet(frames, features[:1])
