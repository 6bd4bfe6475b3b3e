"""Frames and crops of a clip: bounds, formulas, the original's difference, frames that lack, plain loops."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch

from datamodules.loading.clips import draw_frames
from datamodules.loading.sampling import (
    CentreCrops,
    Continuous,
    Distant,
    FractionPairs,
    GapPairs,
    PairCrops,
    RandomCrops,
    WholeFrames,
    continuous_indices,
    distant_indices,
    random_crops,
    seeded_generator,
)
from tests.helpers.refusal import refused


@pytest.mark.parametrize("n", [1, 4, 9])
def test_distant_takes_one_whole_number_of_each_segment(n):
    generator = seeded_generator(n)
    for length in range(1, 60):
        for _ in range(5):
            drawn = distant_indices(length, n, generator).tolist()
            for i, index in enumerate(drawn):
                inside = [k for k in range(length) if i * length <= k * n < (i + 1) * length]
                assert index in (inside or [i * length // n])


def test_a_video_shorter_than_the_clip():
    assert continuous_indices(5, 4, 3, torch.Generator()).tolist() == [0, 3, 4, 4]
    assert continuous_indices(1, 3, 8, torch.Generator()).tolist() == [0, 0, 0]


def test_distant_differs_from_the_original_where_that_leaves_the_segments(golden):
    """Integer segments leave out the last 4 of 300 frames, and wrap frame 7 of 7 to frame 0; ours do neither."""
    original = golden("sampling")
    generator = seeded_generator(2)
    assert original["c0_params"].tolist()[:4] == [300, 1, 0, 8]
    assert original["c0_draws"].max() == 295
    ours = torch.stack([distant_indices(300, 8, generator) for _ in range(1000)])
    assert ours.max() == 299
    assert original["c6_params"].tolist()[:4] == [7, 1, 0, 8]
    assert (original["c6_draws"][:, -1] == 0).all()
    assert distant_indices(7, 8, generator)[-1] == 6
    # where the clip's length divides the video's, the segments are the same
    ours = torch.stack([distant_indices(40, 8, generator) for _ in range(400)]).numpy()
    for column in range(8):
        segment = range(original["c3_offset_lo"][column], original["c3_offset_hi"][column] + 1)
        assert set(ours[:, column]) == set(segment) == set(original["c3_draws"][:, column])


class Claiming:
    """A video of 20 frames that claims more, until its end has been read."""

    def __init__(self, claimed):
        self.num_frames = claimed

    def read(self, indices):
        if max(indices) >= 20:
            self.num_frames = 20
        return [min(index, 19) for index in indices]


def test_missing_frames_are_drawn_again():
    draw_indices = partial(continuous_indices, n=4, interval=2)
    redrawn = 0
    for seed in range(50):
        claimed, true = (draw_frames(Claiming(n), draw_indices, seeded_generator(seed)) for n in (40, 20))
        assert claimed[0].tolist() == claimed[1]
        redrawn += claimed[1] == true[1]
    assert 10 < redrawn < 50


@pytest.mark.parametrize(
    ("sampling", "drawn"),
    [
        (Distant(), [4, 25, 63, 94]),
        (Continuous(4), [57, 61, 65, 69]),
        (Continuous([2, 5, 8], [0.4, 0.4, 0.2]), [44, 49, 54, 59]),
        (Continuous(0), [41, 41, 41, 41]),
        (GapPairs((4, 47)), [18, 43, 74, 91]),
        (FractionPairs(0.15), [58, 73, 49, 64]),
    ],
)
def test_published_runs_drew_these_frames(sampling, drawn):
    assert sampling(100, 4, seeded_generator(0, 1, 2, 0)).tolist() == drawn


def test_published_runs_drew_these_crops():
    boxes = random_crops(90, 120, 2, (0.2, 1.0), seeded_generator(0, 1, 2, 0))
    assert boxes == [(11, 53, 69, 52), (9, 24, 58, 71)]
    boxes = random_crops(12, 12, 6, (0.2, 1.0), seeded_generator(0, 1, 2, 0))
    assert boxes == [(2, 5, 8, 6), (1, 2, 7, 8), (0, 0, 11, 12), (2, 0, 8, 8), (1, 0, 7, 9), (1, 0, 10, 9)]


@pytest.mark.parametrize("length", [4, 5])
def test_frames_of_a_video_of_up_to_four_are_independent(length):
    drawn = torch.stack([FractionPairs(0.5)(length, 2, seeded_generator(seed)) for seed in range(200)])
    apart = {(first, first + 2) for first in range(1, length - 2)}
    everything = {(first, second) for first in range(length) for second in range(length)}
    assert {tuple(pair) for pair in drawn.tolist()} == (everything if length <= 4 else apart)


@pytest.mark.parametrize(
    ("crops", "corners"),
    [
        (PairCrops(), [[16, 56, 74, 101], [239, 199, 181, 154], [20, 28, 42, 48], [40, 56, 85, 97]]),
        (PairCrops("global-to-local"), [[16, 56, 74, 101], [23, 62, 49, 88], [20, 28, 42, 48], [20, 43, 33, 28]]),
        (
            PairCrops("local-to-global", flip=1.0, bicubic=True),
            [[22, 88, 50, 61], [15, 101, 75, 56], [19, 42, 33, 28], [19, 48, 43, 28]],
        ),
        (
            PairCrops(area=(0.5, 0.6), squeezed=True, flip=0.0),
            [[16, 52, 83, 111], [239, 203, 172, 144], [8, 26, 41, 55], [16, 52, 83, 111]],
        ),
    ],
)
def test_published_runs_drew_these_pairs_of_crops(crops, corners):
    """Row and column of the upper left and the lower right pixel, of frames whose pixels are their places."""
    y, x = np.mgrid[:90, :120]
    frame = np.stack([y, x, y + x], -1).astype(np.uint8)
    clip = crops([frame, 255 - frame, frame // 2, frame], seeded_generator(0, 1, 2, 0), 8)
    assert clip.shape == (4, 3, 8, 8)
    found = torch.cat([clip[:, :2, 0, 0], clip[:, :2, -1, -1]], dim=1).int()
    assert (found - torch.tensor(corners)).abs().max() <= 1  # Pillow rounds


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
    for given in (frame, frame.transpose(1, 0, 2)):
        clip = CentreCrops()([given, given], torch.Generator(), 20)
        assert clip.shape == (2, 3, 20, 20)
        assert (clip.amin((0, 2, 3)) == torch.tensor([255, 128, 7])).all()
    frame[0, 20:40] = frame[:, 20] = 200  # the first row and column count
    whole = WholeFrames()([frame], torch.Generator(), 30)
    expected = cv2.resize(frame, (30, 30), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(whole[0].permute(1, 2, 0), expected)
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, ::4] = 255
    assert (WholeFrames()([stripes], torch.Generator(), 4) == 64).all()  # no pixel is skipped


def test_frames_without_a_partner_are_refused():
    frame = np.zeros((8, 8, 3), np.uint8)
    refused(ValueError, "shorter", PairCrops(), [frame] * 3, torch.Generator(), 8)
