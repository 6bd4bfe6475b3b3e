"""Spatial transforms: geometry by hand, draws frame by frame, equality with a plain loop."""

import cv2
import numpy as np
import pytest
import torch

from datamodules.loading.sampling import CentreCrops, RandomCrops, WholeFrames, random_crops, seeded_generator


def test_boxes_keep_to_area_ratio_and_frame():
    boxes = np.array(random_crops(256, 340, 2000, (0.2, 1.0), seeded_generator(0)))
    top, left, height, width = boxes.T
    assert (boxes >= 0).all()
    share = height * width / (256 * 340)
    assert share.min() == pytest.approx(0.2, abs=0.01)
    assert share.max() > 0.95
    ratio = width / height
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    assert len({tuple(box) for box in boxes.tolist()}) > 1900
    # every corner of the frame is reached
    assert top.min() == left.min() == 0
    assert (top + height).max() == 256
    assert (left + width).max() == 340


def test_boxes_of_frames_that_no_ratio_fits():
    assert random_crops(10, 1000, 1, (1.0, 1.0), torch.Generator()) == [(0, 493, 10, 13)]
    assert random_crops(1000, 10, 1, (1.0, 1.0), torch.Generator()) == [(493, 0, 13, 10)]
    assert random_crops(1, 1, 1, (0.2, 1.0), torch.Generator()) == [(0, 0, 1, 1)]


def test_crops_equal_a_plain_loop():
    frames = list(np.random.default_rng(0).integers(0, 256, (6, 90, 120, 3), dtype=np.uint8))
    generator = seeded_generator(5)
    clip = RandomCrops()(frames, generator, 48)
    assert clip.dtype == torch.uint8
    assert clip.is_contiguous()
    generator = seeded_generator(5)
    boxes = random_crops(90, 120, 6, (0.2, 1.0), generator)
    flips = torch.rand(6, generator=generator) < 0.5
    for out, frame, (top, left, height, width), flip in zip(clip, frames, boxes, flips, strict=True):
        patch = torch.from_numpy(frame)[top : top + height, left : left + width].permute(2, 0, 1)[None].double()
        expected = torch.nn.functional.interpolate(patch, (48, 48), mode="bilinear")[0]
        expected = expected.flip(2) if flip else expected
        assert (out - expected).abs().max() <= 1.5  # OpenCV's weights have 11 bits


def test_centre_crop_and_whole_frame():
    frame = np.zeros((20, 60, 3), np.uint8)
    frame[:, 20:40] = (255, 128, 7)
    clip = CentreCrops()([frame, frame], torch.Generator(), 20)
    assert clip.shape == (2, 3, 20, 20)
    assert (clip.amin((0, 2, 3)) == torch.tensor([255, 128, 7])).all()
    whole = WholeFrames()([frame], torch.Generator(), 30)
    expected = cv2.resize(frame, (30, 30), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(whole[0].permute(1, 2, 0), expected)
