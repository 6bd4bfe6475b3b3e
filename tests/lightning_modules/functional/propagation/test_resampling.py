"""Nearest pixels are those of the libraries that the rules are named after; bilinear lies where its name says."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from lightning_modules.functional.propagation.resampling import nearest_index, resize_ids, resize_maps


@pytest.mark.parametrize("size", [(30, 55), (213, 288), (101, 47), (480, 854)])
def test_nearest_is_that_of_the_library(size: tuple[int, int]) -> None:
    ids = torch.arange(208 * 213, dtype=torch.int32).view(208, 213)
    array = ids.numpy()
    expected = {
        "pillow": np.asarray(Image.fromarray(array).resize(size[::-1], Image.Resampling.NEAREST)),
        "opencv": cv2.resize(array.astype(np.float64), size[::-1], interpolation=cv2.INTER_NEAREST),
        "opencv-exact": cv2.resize(array.astype(np.float64), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT),
        "torch-exact": F.interpolate(ids[None, None].double(), size, mode="nearest-exact")[0, 0].numpy(),
    }
    for rule, resized in expected.items():
        np.testing.assert_array_equal(resize_ids(ids, size, rule), resized)  # type: ignore[arg-type]


def test_the_rules_differ() -> None:
    assert nearest_index(4, 2, "opencv").tolist() == [0, 2]
    assert nearest_index(4, 2, "pillow").tolist() == [1, 3]
    assert not torch.equal(nearest_index(208, 213, "opencv-exact"), nearest_index(208, 213, "torch-exact"))


def test_bilinear_between_centres_and_between_corners() -> None:
    ramp = torch.tensor([[[0.0, 1.0]]])
    assert resize_maps(ramp, (1, 4)).tolist() == [[[0.0, 0.25, 0.75, 1.0]]]
    torch.testing.assert_close(resize_maps(ramp, (1, 4), "bilinear-aligned"), torch.tensor([[[0, 1 / 3, 2 / 3, 1]]]))
    assert resize_maps(ramp, (1, 4), "nearest").tolist() == [[[0.0, 0.0, 1.0, 1.0]]]
    assert resize_maps(ramp, (1, 2)) is ramp
