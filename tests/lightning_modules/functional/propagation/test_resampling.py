"""Nearest pixels are those of the libraries that the rules are named after; bilinear lies where its name says."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from lightning_modules.functional.propagation.sizing import resize_ids, resize_maps


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


def test_masks_are_brought_to_native_size_as_by_the_original_codes(golden: Any) -> None:
    """OpenCV's NEAREST is convert_davis's, NEAREST_EXACT is RVM's: 2,907 other pixels in 2.5 million."""
    content = golden("protocols/metrics_vip_pck_davis")
    masks = torch.from_numpy(content["davis_pred_480x880"])
    for rule, key in (("opencv", "davis_pred_native"), ("opencv-exact", "davis_pred_native_rvm")):
        found = torch.stack([resize_ids(ids, (480, 854), rule) for ids in masks])  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, content[key])


def test_bilinear_between_centres_and_between_corners() -> None:
    ramp = torch.tensor([[[0.0, 1.0]]])
    assert resize_maps(ramp, (1, 4)).tolist() == [[[0.0, 0.25, 0.75, 1.0]]]
    torch.testing.assert_close(resize_maps(ramp, (1, 4), "bilinear-aligned"), torch.tensor([[[0, 1 / 3, 2 / 3, 1]]]))
    assert resize_maps(ramp, (1, 4), "nearest").tolist() == [[[0.0, 0.0, 1.0, 1.0]]]
    assert resize_maps(ramp, (1, 2)) is ramp
