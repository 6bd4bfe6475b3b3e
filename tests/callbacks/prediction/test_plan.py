"""Passes cover each object in every frame from its nearest prompt."""

import numpy as np
import pytest

from callbacks.prediction.plan import nearest_prompt, plan_legs, prompted_frames

FRAMES = 14


@pytest.mark.parametrize("seed", range(5))
def test_every_object_is_reached_in_every_frame_by_the_pass_of_its_nearest_prompt(seed):
    """Brute force over frames and objects; no pass goes further than an object needs it."""
    draw = np.random.default_rng(seed)
    objects: dict[int, list[int]] = {}
    for number in range(1, 1 + draw.integers(1, 4)):
        for place in draw.choice(FRAMES, draw.integers(1, 5), replace=False).tolist():
            objects.setdefault(place, []).append(number)
    legs = plan_legs(objects)
    reached = {}
    for leg in legs:
        last = FRAMES - 1 if leg.last is None else leg.last
        frames = range(leg.start, last + leg.step, leg.step)
        reached[leg.start, leg.step] = set(frames if leg.step > 0 else list(frames)[1:])
    assert len(reached) == len(legs)
    needed = {key: set() for key in reached}
    for number in {k for members in objects.values() for k in members}:
        own = [place for place in sorted(objects) if number in objects[place]]
        assert prompted_frames(objects)[number] == own
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
