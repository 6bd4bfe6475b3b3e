"""Frames and crops of a clip: those of published runs, bounds, the original's difference, frames that lack."""

import json
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.datamodules.loading import sampling
from vidcorr.datamodules.loading.clips import draw_frames
from vidcorr.datamodules.loading.sampling import random_crops, seeded_generator
from vidcorr.functional.colour import normalised_lab

DRAWS = json.loads(Path(__file__).with_name("draws.json").read_text())
"""Samplings and crops, and what published runs drew by them."""


def test_distant_differs_from_the_original_where_that_leaves_the_segments(golden):
    """Integer segments leave out the last 4 of 300 frames, and wrap frame 7 of 7 to frame 0; ours do neither."""
    original = golden("sampling")
    generator = seeded_generator(2)
    assert original["c0_params"].tolist()[:4] == [300, 1, 0, 8]
    assert original["c0_draws"].max() == 295
    ours = torch.stack([sampling.distant_indices(300, 8, generator) for _ in range(300)])
    assert ours.max() == 299
    assert original["c6_params"].tolist()[:4] == [7, 1, 0, 8]
    assert (original["c6_draws"][:, -1] == 0).all()
    assert sampling.distant_indices(7, 8, generator)[-1] == 6
    # where the clip's length divides the video's, the segments are the same
    ours = torch.stack([sampling.distant_indices(40, 8, generator) for _ in range(100)]).numpy()
    for column in range(8):
        segment = range(original["c3_offset_lo"][column], original["c3_offset_hi"][column] + 1)
        assert set(ours[:, column]) == set(segment) == set(original["c3_draws"][:, column])


@pytest.mark.slow
def test_looping_gives_all_clips_of_vfss_code_and_no_other(golden):
    numbers = golden("continuous")
    for case, (length, interval, n) in enumerate(numbers["cases"].tolist()):
        generator = seeded_generator(case)
        drawn = [sampling.Looping(interval)(length, n, generator).tolist() for _ in range(20 * length + 20)]
        assert set(map(tuple, drawn)) == set(map(tuple, numbers[f"c{case}_clips"].tolist())), (length, interval, n)


def drawn_frame(kind, height, width, k):
    """The frames of shrink.npz, by whole numbers alone."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    if kind == "zone":
        channels = [(a * x * x + b * y * y) // (k + c) % 256 for a, b, c in ((1, 1, 0), (1, 2, 1), (2, 1, 2))]
    elif kind == "checker":
        channels = [(x // k + y // k) % 2 * 255, x // k % 2 * 200 + 20, y // k % 2 * 180 + 30]
    elif kind == "stripes":
        channels = [x * 97 * k % 256, (x + y) * 61 * k % 256, y * 83 * k % 256]
    else:
        mixed = [(x * 73856093) ^ (y * 19349663) ^ (j * 83492791 * k) for j in (1, 2, 3)]
        channels = [(value * 2654435761 % 2**32 >> 13) % 256 for value in mixed]
    return np.stack(channels, -1).astype(np.uint8)


@pytest.mark.parametrize("case", range(6))
def test_bilinear_shrinks_as_the_papers_codes_do(case, golden):
    """VFS's 8 bits by OpenCV to the bit; LIIR_pytorch's floats within a level, since clips are bytes."""
    numbers = {name.partition("_")[2]: values for name, values in golden("shrink").items() if name[:2] == f"c{case}"}
    frame = drawn_frame(str(numbers["kind"]), *numbers["size_k"].tolist())
    assert zlib.crc32(frame.tobytes()) == numbers["crc32"]
    shrink = partial(sampling.WholeFrames(filter="bilinear"), [frame], torch.Generator())
    (of_vfs,) = shrink(int(numbers["vfs_size"])).movedim(1, -1).numpy()
    assert np.array_equal(of_vfs[::2, ::2], numbers["vfs_rgb"])
    np.testing.assert_allclose(of_vfs.mean((0, 1)), numbers["vfs_rgb_mean"], rtol=0, atol=1e-9)
    of_liir = shrink(256)
    found = of_liir[0, :, ::4, ::4].movedim(0, -1).numpy()
    assert np.abs(found - 255 * numbers["liir_rgb"]).max() <= 1
    lightness = normalised_lab(of_liir / 255)[0, 0].double().numpy()
    statistics = [lightness.mean(), lightness.std(), (np.diff(lightness, axis=1) ** 2).mean()]
    np.testing.assert_allclose(statistics, numbers["liir_L_mean_std_gradient"], rtol=0.02, atol=5e-3)
    (averaged,) = sampling.WholeFrames()([frame], torch.Generator(), 256)
    assert torch.equal(averaged, of_liir[0]) == (case > 3)  # c4 and c5 have less than 512 px


class Claiming:
    """A video of 20 frames that claims more, until its end has been read."""

    def __init__(self, claimed):
        self.num_frames = claimed

    def read(self, indices):
        if max(indices) >= 20:
            self.num_frames = 20
        return [min(index, 19) for index in indices]


def test_missing_frames_are_drawn_again():
    draw_indices = partial(sampling.continuous_indices, n=4, interval=2)
    redrawn = 0
    for seed in range(50):
        claimed, true = (draw_frames(Claiming(n), draw_indices, seeded_generator(seed)) for n in (40, 20))
        assert claimed[0].tolist() == claimed[1]
        redrawn += claimed[1] == true[1]
    assert 10 < redrawn < 50


@pytest.mark.parametrize(("name", "arguments", "drawn"), DRAWS["frames"])
def test_published_runs_drew_these_frames(name, arguments, drawn):
    assert getattr(sampling, name)(**arguments)(100, 4, seeded_generator(0, 1, 2, 0)).tolist() == drawn


@pytest.mark.parametrize(("height", "width", "area", "boxes"), DRAWS["boxes"])
def test_published_runs_drew_these_boxes(height, width, area, boxes):
    """Three frames are such that no box of the ratios may fit."""
    found = random_crops(height, width, len(boxes), area, seeded_generator(0, 1, 2, 0))
    assert list(map(list, found)) == boxes


@pytest.mark.parametrize(("length", "fraction", "has_pairs"), [(4, 0.5, False), (5, 0.5, True), (5, 0.8, False)])
def test_frames_of_a_video_without_a_pair_at_the_gap_are_independent(length, fraction, has_pairs):
    """The released code pairs no frames of a video of up to four."""
    drawn = torch.stack([sampling.FractionPairs(fraction)(length, 2, seeded_generator(seed)) for seed in range(200)])
    apart = {(first, first + 2) for first in range(1, length - 2)}
    everything = {(first, second) for first in range(length) for second in range(length)}
    assert {tuple(pair) for pair in drawn.tolist()} == (apart if has_pairs else everything)


@pytest.mark.parametrize(("name", "arguments", "size", "corners"), DRAWS["crops"])
def test_published_runs_drew_these_crops(name, arguments, size, corners):
    """Row and column of the upper left and the lower right pixel, of frames whose pixels are their places."""
    y, x = np.mgrid[:90, :120]
    frame = np.stack([y, x, y + x], -1).astype(np.uint8)
    crops = getattr(sampling, name)(**arguments)
    clip = crops([frame, 255 - frame, frame // 2, frame], seeded_generator(0, 1, 2, 0), size)
    assert (clip.shape, clip.dtype, clip.is_contiguous()) == ((4, 3, size, size), torch.uint8, True)
    found = torch.cat([clip[:, :2, 0, 0], clip[:, :2, -1, -1]], dim=1).int()
    assert (found - torch.tensor(corners)).abs().max() <= 1  # Pillow rounds


def test_frames_without_a_partner_are_refused():
    refused(ValueError, "shorter", sampling.PairCrops(), np.zeros((3, 8, 8, 3), np.uint8), torch.Generator(), 8)
