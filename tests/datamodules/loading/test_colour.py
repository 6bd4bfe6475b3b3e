"""The batched colour augmentation equals torchvision's, frame by frame; on a device: tests/test_fake_device.py."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from vidcorr.datamodules.loading.batch_colours import ColourAugmentation
from vidcorr.datamodules.loading.sampling import seeded_generator


def pictures(count: int, size: int = 24) -> torch.Tensor:
    frames = torch.rand(count, 3, size, size, generator=seeded_generator(0))
    frames[0] = 0.5  # grey: no hue
    frames[1, :, 0] = torch.eye(3).repeat(1, 8)  # pure colours
    frames[1, :, 1] = (1 - torch.eye(3)).repeat(1, 8)
    return frames


def test_the_whole_equals_torchvision_with_the_same_draws():
    frames = pictures(40)
    augment = ColourAugmentation()
    draws = augment.draw(40, seeded_generator(1))
    kept = frames.clone()
    result = augment(frames, seeded_generator(1))
    assert torch.equal(frames, kept)
    functions = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for i, frame in enumerate(frames):
        if draws["jitter"][i]:
            for kind in draws["order"][i].tolist():
                frame = functions[kind](frame, float(draws["factors"][i, kind]))
        if draws["grey"][i]:
            frame = tv.rgb_to_grayscale(frame, num_output_channels=3)
        if draws["blur"][i]:
            frame = tv.gaussian_blur(frame, [13, 13], [float(draws["sigma"][i])])
        torch.testing.assert_close(result[i], frame, atol=1e-5, rtol=0)


def test_colour_changes_are_drawn_as_often_and_as_far_as_stated():
    """Published runs drew these; the means of the choices are 0.8, 0.2 and 0.5."""
    draws = ColourAugmentation().draw(20000, seeded_generator(2))
    means = [draws[name].double().mean().item() for name in ("factors", "jitter", "grey", "blur", "sigma")]
    assert means == pytest.approx([0.7498565, 0.8033, 0.1955, 0.499, 1.052057], abs=1e-5)
    bounds = torch.stack([draws["factors"].amin(0), draws["factors"].amax(0)])
    expected = torch.tensor([[0.6, 0.6, 0.6, -0.1], [1.4, 1.4, 1.4, 0.1]])
    torch.testing.assert_close(bounds, expected, atol=1e-3, rtol=0)
    assert draws["order"].unique(dim=0).shape == (24, 4)
