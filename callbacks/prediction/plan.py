"""Passes over a video that propagate each object from its nearest prompt."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Leg(NamedTuple):
    """One pass of the engine: from a prompted frame in one direction.

    Attributes:
        start: index of the prompted frame.
        step: 1 forwards, -1 backwards.
        last: index of the last frame that is wanted; None: the video's end.
    """

    start: int
    step: int
    last: int | None


def nearest_prompt(prompted: Sequence[int], t: int) -> int:
    """Return which of an object's prompted frames is nearest to frame `t`; the earlier of two equally near.

    Example:
        >>> nearest_prompt([0, 120], 60), nearest_prompt([0, 120], 61), nearest_prompt([40], 0)
        (0, 120, 40)
    """
    return min(prompted, key=lambda frame: (abs(t - frame), frame))


def prompted_frames(objects: Mapping[int, Iterable[int | str]]) -> dict[int | str, list[int]]:
    """Return the prompted frames of each object, ascending.

    Args:
        objects: prompted frame → the objects that it shows.
    """
    frames: dict[int | str, list[int]] = {}
    for frame in sorted(objects):
        for name in objects[frame]:
            frames.setdefault(name, []).append(frame)
    return frames


def plan_legs(objects: Mapping[int, Iterable[int | str]]) -> list[Leg]:
    """Return the passes that propagate each object to every frame from its nearest prompt, see `nearest_prompt`.

    A pass reaches as far as any object of its prompt is propagated by it; a prompted frame itself belongs to the pass
    forwards.

    Args:
        objects: prompted frame → the objects that it shows.

    Example:
        >>> plan_legs({0: [1], 120: [1]})
        [Leg(start=0, step=1, last=60), Leg(start=120, step=1, last=None), Leg(start=120, step=-1, last=61)]
    """
    frames = prompted_frames(objects)
    legs: list[Leg] = []
    for frame in sorted(objects):
        prompted = [frames[name] for name in objects[frame]]
        later = [min((other for other in own if other > frame), default=None) for own in prompted]
        earlier = [max((other for other in own if other < frame), default=None) for own in prompted]
        ends = [(frame + other) // 2 for other in later if other is not None]
        legs.append(Leg(frame, 1, max(ends) if len(ends) == len(later) else None))
        first = min(0 if other is None else (frame + other) // 2 + 1 for other in earlier)
        if first < frame:
            legs.append(Leg(frame, -1, first))
    return legs
