"""Reference frames of a protocol, and memory that still holds them: against a loop that keeps every frame."""

import random

import pytest
import torch

from tests.helpers.plain_propagation import plain_propagation
from tests.helpers.propagation import protocol, run
from tests.helpers.refusal import refused
from vidcorr.functional.propagation.memory import FrameMemory

HEIGHT, WIDTH, CHANNELS = 4, 5, 6


def late_objects(draw, frames):
    """Labels of frame 0, and of two objects that enter later."""
    first = torch.zeros(4, HEIGHT, WIDTH)
    first[0] = 1
    first[:2, :2] = torch.tensor([0.0, 1.0])[:, None, None]
    entering = {}
    for channel, frame in zip((2, 3), draw.sample(range(1, frames - 1), 2), strict=True):
        row, column = draw.randrange(HEIGHT), draw.randrange(WIDTH)
        entering[frame] = torch.zeros_like(first)
        entering[frame][channel, row, column] = 1
    return first, entering


@pytest.mark.sampled(5)
@pytest.mark.parametrize("radius", [None, 1.5])
@pytest.mark.parametrize(
    "rules",
    [
        {"repeat_first": "padding", "first_frame_masked": False, "entering": "own-context"},
        {"repeat_first": "padding", "first_frame_masked": False},
        {"repeat_first": "padding"},
        {"repeat_first": "in_window"},
        {"repeat_first": "never", "first_frame_masked": False},
        {"references": (3, -4, -1)},
        {"references": (0, 5, -5, -3, -1), "repeat_first": "padding"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("each_search")
def test_late_objects_find_their_references_as_if_every_frame_were_kept(rules, radius):
    draw = random.Random(str(rules) + str(radius))
    for _ in range(3):
        frames = draw.randint(5, 12)
        context = draw.randint(1, 4)
        of = protocol(context=context, topk=draw.randint(1, 9), radius=radius, **rules)
        first, entering = late_objects(draw, frames)
        features = torch.randn(frames, CHANNELS, HEIGHT, WIDTH)
        expected = plain_propagation(features, first, of, entering=entering)
        found = run(features, first, of, entering=entering)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_frame_that_memory_does_not_hold_is_refused():
    memory = FrameMemory([0, 5], 2, torch.zeros(1, 1, 1))
    for frame in range(7):
        memory.write(frame, torch.full((1, 1, 1), float(frame)))
    assert [memory.maps[0, 0, memory.slot(frame)].item() for frame in (0, 3, 5, 6)] == [0, 3, 5, 6]
    refused(ValueError, "frame 4 is not in the memory, which holds the frames .0, 3, 5, 6.", memory.slot, 4)
