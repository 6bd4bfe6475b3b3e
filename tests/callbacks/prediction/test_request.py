"""Prompts of a video, put together by frame, and passes that reach each object in every frame."""

from dataclasses import replace

import numpy as np
import pytest

from callbacks.prediction.request import Request, nearest_prompt, plan_passes
from datamodules import FrameStream, MaskPrompt
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import davis_palette
from datamodules.reading.prompts import read_prompts
from tests.helpers.refusal import refused

FRAMES = 14


@pytest.mark.parametrize("seed", range(5))
def test_every_object_is_reached_in_every_frame_by_the_pass_of_its_nearest_prompt(seed):
    """Brute force over frames and objects; no pass goes further than an object needs it."""
    draw = np.random.default_rng(seed)
    prompted: dict[int, list[int]] = {}
    for number in range(1, 1 + draw.integers(1, 4)):
        prompted[number] = sorted(draw.choice(FRAMES, draw.integers(1, 5), replace=False).tolist())
    passes = plan_passes(prompted)
    reached = {}
    for start, step, last in passes:
        frames = range(start, (FRAMES - 1 if last is None else last) + step, step)
        reached[start, step] = set(frames if step > 0 else frames[1:])
    assert len(reached) == len(passes)
    needed = {key: set() for key in reached}
    for own in prompted.values():
        for t in range(FRAMES):
            distances = [abs(t - place) for place in own]
            nearest = own[distances.index(min(distances))]
            assert nearest_prompt(own, t) == nearest
            step = 1 if t >= nearest else -1
            assert t in reached[nearest, step]
            needed[nearest, step].add(t)
    for (start, step), frames in needed.items():
        farthest = max(abs(t - start) for t in frames | {start})
        assert max(abs(t - start) for t in reached[start, step] | {start}) == farthest


def request(extractor, folder, prompts, **options):
    stream = FrameStream(folder / "clip.mp4", **options)
    return Request(extractor, stream, prompts)


def mask(frame, *squares, palette=None):
    """A mask of 8 × 9 px squares, each an id and its first row."""
    ids = np.zeros((96, 130), np.uint8)
    for number, row in squares:
        ids[row : row + 8, :9] = number
    return replace(MaskPrompt.of(ids), frame=frame, palette=davis_palette() if palette is None else palette)


def test_objects_keep_the_colour_of_the_mask_that_brings_them(folder, colour):
    one, two = davis_palette(), davis_palette()
    one[[3, 5]], two[[3, 5]] = (10, 20, 30), (40, 50, 60)
    asked = request(colour, folder, [mask(0, (3, 0), palette=one), mask(4, (3, 0), (5, 20), palette=two)])
    assert asked.palette()[[3, 5]].tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("text", ["grid:0", "grid:", "grid:999", "grid:2x2"])
def test_a_grid_of_no_points_or_too_many_is_refused(text):
    refused(DataError, f"points {text}: expected grid:N", read_prompts, points=text)
