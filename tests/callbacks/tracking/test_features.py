"""Features of frames are those that a tracker sees."""

import torch
from torch import Tensor, nn

from callbacks.tracking.features import frame_features
from lightning_modules.backbones import Normalise
from lightning_modules.functional import PropagationProtocol


class Colours(nn.Module):
    """Normalised colours at stride 4."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(self.normalise(images), 4)


def test_the_normalisation_of_the_protocol_counts() -> None:
    frames, extractor = torch.rand(2, 3, 16, 16), Colours()
    plain = PropagationProtocol("plain", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)
    own, _ = frame_features(extractor, frames, plain)
    other, _ = frame_features(extractor, frames, plain.with_changes(rgb_mean=(0.0, 0.0, 0.0), rgb_std=(0.5, 0.5, 0.5)))
    torch.testing.assert_close(own, extractor(frames))
    torch.testing.assert_close(other, 2 * nn.functional.avg_pool2d(frames, 4))
