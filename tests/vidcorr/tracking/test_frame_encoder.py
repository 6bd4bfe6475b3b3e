"""The extractor as a protocol wants it, its pass over several frames, sizes of a video, seconds per kind of work.

Also tests `tracking/stopwatch.py`.
"""

from itertools import islice, repeat

import pytest
import torch
from torch import nn

from tests.helpers.encoders import clips_over
from tests.helpers.refusal import refused
from vidcorr.backbones import VideoEncoder, build_feature_extractor, load
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder, adapted

VFS = PropagationProtocol.named("vfs")


def test_mean_and_std_are_replaced_in_a_folded_view_and_nowhere_else():
    extractor = load("tests.helpers.encoders:TinyResNet").view("res2", 4)
    protocol = VFS.with_changes(rgb_mean=(0.5, 0.25, 0.125), rgb_std=(0.5, 0.5, 0.5), input_size=None)
    frame, mean = torch.randint(256, (3, 32, 32)).byte(), torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    image = frame[None] / 255
    before = extractor(image)
    own_mean, own_std = (torch.tensor(each).view(3, 1, 1) for each in (extractor.input.mean, extractor.input.std))
    same_to_the_network = own_mean + (image - mean) / 0.5 * own_std
    view = adapted(extractor, protocol).folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in view.modules())
    assert torch.allclose(view(image), extractor(same_to_the_network), atol=1e-5)
    of_mean = adapted(extractor, protocol.with_changes(rgb_std=None))
    assert torch.allclose(of_mean(image), extractor(own_mean + image - mean), atol=1e-5)
    other = adapted(extractor, protocol.with_changes(position_embedding="dino"))
    assert (other.positions, extractor.positions) == ("dino", "network")
    around = build_feature_extractor(nn.Sequential(extractor))  # a user's module, which states no input
    assert adapted(around, protocol).input == around.input
    assert torch.allclose(next(FrameEncoder(extractor, protocol).maps([frame])), view(image)[0], atol=1e-5)
    assert torch.equal(extractor(image), before)


def test_equal_features_are_warned_of_once_and_a_video_ends_with_its_frames():
    colour = build_feature_extractor("raw_colour")
    frames = torch.zeros(6, 3, 64, 64, dtype=torch.uint8)
    for extractor in (colour, clips_over(colour)):
        encoder = FrameEncoder(extractor, VFS)
        assert len(list(encoder.maps(frames, may_be_constant=True))) == 6
        assert not encoder.constant
        with pytest.warns(UserWarning, match="the same features: scores are chance$") as warned:
            maps = [*encoder.maps(frames), *encoder.maps(frames)]
        assert (encoder.constant, len(warned)) == (True, 1)
        assert [features.is_inference() for features in maps] == [False] * 12


class Yielding(VideoEncoder):
    """Yields some maps after it has read some frames."""

    stride = 8

    def __init__(self, read, maps):
        super().__init__()
        self.read, self.maps = read, maps

    def encode(self, frames):
        (*_, last) = islice(frames, self.read)
        return repeat(last[:, ::8, ::8], self.maps)


@pytest.mark.parametrize(("read", "maps", "amount"), [(1, 1, "fewer"), (3, 2, "fewer"), (3, 4, "more")])
def test_an_encoder_that_gives_another_number_of_maps_than_frames_is_refused(read, maps, amount):
    encoder = FrameEncoder(Yielding(read, maps))
    message = f"Yielding: encode must yield a map for each frame, and gave {amount}"
    refused(ValueError, message, list, encoder.maps(torch.rand(3, 3, 64, 64).byte(), may_be_constant=True))
    refused(TypeError, "AvgPool2d is no extractor", FrameEncoder, torch.nn.AvgPool2d(8))
