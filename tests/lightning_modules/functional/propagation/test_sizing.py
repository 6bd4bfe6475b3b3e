"""Input sizes by hand, padding that is cut again, and the sizings that protocols know."""

import typing

import pytest
import torch

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.sizing import GREY, Sizing, covered_size, fit_input, resized_size


@pytest.mark.parametrize(
    ("size", "sizing", "resized", "padded"),
    [
        ((480, 854), "native", (480, 854), (480, 854)),
        ((480, 854), "short-480", (480, 832), (480, 832)),
        ((854, 480), "short-480", (832, 480), (832, 480)),
        ((240, 320), "short-480", (480, 640), (480, 640)),
        ((480, 854), "short-240", (240, 427), (240, 427)),
        ((720, 1280), "short-240", (240, 427), (240, 427)),
        ((240, 320), "320x320", (320, 320), (320, 320)),
        ((477, 854), "pad-4", (477, 854), (480, 856)),
    ],
)
def test_sizes_by_hand(size, sizing, resized, padded):
    assert resized_size(size, sizing) == resized
    assert fit_input(torch.zeros(1, 3, *size), sizing).shape == (1, 3, *padded)


def test_padding_is_grey_and_lies_to_the_right_and_below():
    image = torch.rand(1, 3, 9, 10)
    fitted = fit_input(image, "pad-4")
    assert torch.equal(fitted[..., :9, :10], image)
    assert (fitted[..., 9:, :] == GREY).all()
    assert (fitted[..., 10:] == GREY).all()
    assert fit_input(image, "native") is image
    assert fit_input(image, "pad-4", multiple=6).shape[-2:] == (12, 12)


def test_the_grey_is_lab_lightness_50():
    linear = ((GREY + 0.055) / 1.055) ** 2.4
    assert 116 * linear ** (1 / 3) - 16 == pytest.approx(50, abs=1e-3)


def test_resizing_is_bilinear_between_pixel_centres():
    image = torch.tensor([0.0, 1.0]).repeat(1, 3, 2, 160)
    fitted = fit_input(image, "320x320")
    assert fitted.shape == (1, 3, 320, 320)
    assert torch.allclose(fitted, image[:, :, :1].expand_as(fitted))
    ramp = torch.arange(0, 960, dtype=torch.float32).div(960).repeat(1, 3, 480, 1)
    smaller = fit_input(ramp, "short-240")
    assert torch.allclose(smaller[..., 10:-10], ((torch.arange(480) * 2 + 0.5) / 960)[10:-10], atol=1e-6)


def test_only_short_240_smooths_before_it_shrinks():
    stripes = torch.tensor([0.0, 1.0]).repeat(1, 3, 960, 480)
    assert fit_input(stripes, "short-240").std() < 0.01
    assert fit_input(stripes[..., ::3], "320x320").std() > 0.2


def test_what_the_input_covers_in_pixels_of_the_picture():
    assert covered_size((480, 854), "short-480") == (480, 854)
    assert covered_size((479, 853), "pad-4") == (480, 856)
    assert covered_size((480, 854), multiple=14) == (490, 854)
    assert covered_size((480, 854), "short-240", multiple=16) == (480, 864)


def test_protocols_know_these_sizings():
    field = typing.get_type_hints(PropagationProtocol)["input_sizing"]
    assert set(typing.get_args(field)) == set(typing.get_args(Sizing))
    with pytest.raises(ValueError, match="unknown input sizing 'huge'"):
        resized_size((4, 4), "huge")
