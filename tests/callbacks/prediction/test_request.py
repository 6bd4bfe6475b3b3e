"""Prompts of a video, put together by frame."""

from dataclasses import replace

import numpy as np

from callbacks.prediction.plan import Leg
from callbacks.prediction.request import Request
from datamodules import FrameStream, MaskPrompt
from datamodules.reading.mask_files import davis_palette
from datamodules.reading.prompts import read_prompts


def request(extractor, folder, prompts, **options):
    stream = FrameStream(folder / "clip.mp4", **options)
    return Request.of(extractor, stream, prompts, None, None, None)


def mask(ids, frame, palette=None):
    prompt = replace(MaskPrompt.of(np.array(ids, np.uint8)), frame=frame)
    return prompt if palette is None else replace(prompt, palette=palette)


def square(number, row):
    ids = np.zeros((96, 130), np.uint8)
    ids[row : row + 8, :9] = number
    return ids


def test_masks_of_one_frame_are_one(folder, colour):
    asked = request(colour, folder, [mask(square(3, 0), 0), mask(square(5, 4), 0)])
    ids = asked.mask(0).ids
    assert (ids[2, 0], ids[6, 0], ids[11, 0], ids[20, 0]) == (3, 5, 5, 0)
    assert (asked.names, asked.legs) == ([3, 5], [Leg(0, 1, None)])


def test_objects_keep_the_colour_of_the_mask_that_brings_them(folder, colour):
    one, two = davis_palette(), davis_palette()
    one[[3, 5]], two[[3, 5]] = (10, 20, 30), (40, 50, 60)
    palette = request(
        colour, folder, [mask(square(3, 0), 0, one), mask(square(3, 0) + square(5, 20), 4, two)]
    ).palette()
    assert palette[[3, 5]].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_places_are_those_of_the_part(folder, colour):
    prompts = read_prompts(points="grid:1@7;grid:2@3")
    asked = request(colour, folder, prompts, start=1, every=2)
    assert sorted(asked.by_frame) == [1, 3]
    assert asked.names == ["1-1", "1-2", "2-1", "2-2"]
    assert asked.points(1).names == ("1-1", "1-2", "2-1", "2-2")
    assert [each["frame"] for each in asked.metadata()] == [3, 7]
    assert len(asked.legs) > 1
