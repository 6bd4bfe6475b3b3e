"""Reference frames of a protocol, and memory that still holds them: against a loop that keeps every frame."""

import random

import pytest
import torch

from tests.helpers.plain_propagation import dense_attention, dense_mask
from tests.helpers.propagation import protocol, run
from tests.helpers.refusal import refused
from vidcorr.functional.propagation.memory import FrameMemory

HEIGHT, WIDTH, CHANNELS = 4, 5, 6


def listed(rules, frame, start):
    """Indices of the reference frames of a frame, for objects that start at `start`, by the words of the protocol."""
    if rules.references is not None:
        absolute = {number if number >= 0 else frame + number for number in rules.references}
        return sorted(number for number in absolute if 0 <= number < frame)
    found = [start]
    for number in range(frame - rules.context, frame):
        if rules.repeat_first == "padding":
            found.append(max(number, start))
        elif number > 0 or (number == 0 and rules.repeat_first == "in_window"):
            found.append(number)
    return found


def kept_whole(features, first, rules, entering):
    """Propagate with every frame of features and labels at hand."""
    features = features / features.norm(dim=1, keepdim=True)
    mask = None if rules.radius is None else dense_mask(HEIGHT, WIDTH, rules.radius, rules.neighbourhood)
    own_context = rules.entering == "own-context"
    starting = {0: (first > 0).flatten(1).any(1)}
    labels = [first]
    for frame in range(1, len(features)):
        total = torch.zeros_like(first)
        for start, channels in starting.items():
            chosen = listed(rules, frame, start)
            values = torch.stack([labels[number] for number in chosen], 1).flatten(1)
            keys = features[chosen].transpose(0, 1).flatten(1)
            unmasked = 0 if rules.first_frame_masked or rules.references is not None else HEIGHT * WIDTH
            queries = features[frame].flatten(1)
            average = dense_attention(queries, keys, values, mask, rules.topk, rules.temperature, unmasked)
            total += average.view_as(first) * (channels[:, None, None] if own_context else 1)
        if frame in entering:
            new = entering[frame]
            present = (new > 0).flatten(1).any(1)
            if own_context:
                total = total * (1 - new.sum(0)) + new * new.sum(0)
                starting[frame] = present
            else:
                total = torch.where(present[:, None, None], new, total * (1 - new.sum(0)))
        labels.append(total)
    return torch.stack(labels)


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
@pytest.mark.parametrize("radius", [None, 1.5, 3.0])
@pytest.mark.parametrize(
    "rules",
    [
        {"repeat_first": "padding", "first_frame_masked": False, "entering": "own-context"},
        {"repeat_first": "padding", "first_frame_masked": False},
        {"repeat_first": "padding"},
        {"repeat_first": "in_window"},
        {"repeat_first": "in_window", "first_frame_masked": False},
        {"repeat_first": "never"},
        {"repeat_first": "never", "first_frame_masked": False},
        {"references": (0,)},
        {"references": (-1,)},
        {"references": (0, 2, -3, -1)},
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
        expected = kept_whole(features, first, of, entering)
        found = run(features, first, of, entering=entering)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_frame_that_memory_does_not_hold_is_refused():
    memory = FrameMemory([0, 5], 2, torch.zeros(1, 1, 1))
    for frame in range(7):
        memory.write(frame, torch.full((1, 1, 1), float(frame)))
    assert [memory.maps[0, 0, memory.slot(frame)].item() for frame in (0, 3, 5, 6)] == [0, 3, 5, 6]
    for frame in (2, 4, 7, 9):
        words = f"frame {frame} is not in the memory, which holds the frames .0, 3, 5, 6."
        assert refused(ValueError, words, memory.slot, frame)
    lasting = FrameMemory([1], 0, torch.zeros(1, 1, 1))
    lasting.write(0, torch.zeros(1, 1, 1))
    assert refused(ValueError, "frame 0 is not in the memory", lasting.slot, 0)
