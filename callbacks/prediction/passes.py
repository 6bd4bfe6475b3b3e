"""Passes of the engine over a video, forwards and backwards, and their results, kept until all passes have finished."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.prompted_video import FrameStream
from datamodules.reading.files import ProgressReport
from datamodules.reading.mask_files import read_mask, write_ids
from datamodules.reading.prompts import MaskPrompt

from ..tracking.stopwatch import Stopwatch
from .plan import Leg, nearest_prompt, prompted_frames
from .request import Follow, Request


class KeptMasks:
    """Masks of all passes, in the files that predict writes: a later pass adds its objects to what is there.

    Args:
        folder: folder of the masks.
        request: its stream names the files, its prompts bring the objects.
    """

    def __init__(self, folder: Path, request: Request) -> None:
        self._folder, self._stem, self._palette = folder, request.stream.stem, request.palette()
        self._frames = prompted_frames(request.objects)
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, t: int, start: int, found: Tensor) -> None:
        """Keep ids `(H, W)` that the pass from the prompted frame `start` found in frame `t`, of its objects."""
        nearest = {int(number): nearest_prompt(frames, t) for number, frames in self._frames.items()}
        wanted = np.zeros(256, np.uint8)
        for number, frame in nearest.items():
            wanted[number] = number if frame == start else 0
        ids, path = wanted[found.numpy()], self._folder / f"{self._stem(t)}.png"
        if path.is_file():
            distance = {number: (abs(t - frame), frame) for number, frame in nearest.items()}
            ids = merged(read_mask(path), ids, distance)
        write_ids(path, ids, self._palette)

    def at(self, t: int) -> Tensor:
        """Return ids `(H, W)` of frame `t`, of all objects."""
        return torch.from_numpy(read_mask(self._folder / f"{self._stem(t)}.png"))


class KeptNumbers:
    """Boxes or points of all passes.

    Args:
        request: its prompts bring the objects, in the order in which their passes give them.
    """

    def __init__(self, request: Request) -> None:
        self._kept: dict[int, Tensor] = {}
        self._objects, self._frames = request.objects, prompted_frames(request.objects)
        self._rows = {name: row for row, name in enumerate(self._frames)}

    def add(self, t: int, start: int, found: Any) -> None:
        """Keep the `(N, …)` rows that the pass from the prompted frame `start` found in frame `t`, of its objects."""
        values = torch.as_tensor(found)
        rows = self._kept.setdefault(t, values.new_full((len(self._rows), values.shape[1]), torch.nan))
        for name, row in zip(self._objects[start], values, strict=True):
            if nearest_prompt(self._frames[name], t) == start:
                rows[self._rows[name]] = row

    def at(self, t: int) -> Tensor:
        """Return one row for each object in frame `t`."""
        return self._kept[t]


def merged(
    below: NDArray[np.uint8], found: NDArray[np.uint8], distance: Mapping[int, tuple[int, int]]
) -> NDArray[np.uint8]:
    """Return the ids of two masks together; where both claim a pixel, it goes to the object with the smaller distance.

    Args:
        below: ids `(H, W)`.
        found: ids `(H, W)`.
        distance: distance of each object to its prompt.
    """
    order = np.zeros(256, np.int64)
    for rank, number in enumerate(sorted(distance, key=lambda number: distance[number])):
        order[number] = rank
    return np.where((found > 0) & ((below == 0) | (order[found] <= order[below])), found, below)


def frames_of(stream: FrameStream, leg: Leg) -> Iterator[Tensor]:
    """Return the frames of a pass in its direction."""
    frames = stream.forwards(leg.start) if leg.step > 0 else stream.backwards(leg.start)
    return itertools.islice(frames, None if leg.last is None else (leg.last - leg.start) * leg.step + 1)


def run_passes(request: Request, follow: Follow, folder: Path, watch: Stopwatch) -> Iterator[tuple[Tensor, Any]]:
    """Follow all prompts, pass after pass, then yield the frames in order with what was found in each.

    Args:
        request: the prompts.
        follow: carries those of one frame in one direction.
        folder: folder of the masks, which are kept there meanwhile.
        watch: counts the seconds of "write".

    Raises:
        Stopped: if a signal asks for it, after the current frame.
    """
    stream, legs = request.stream, request.legs
    of_masks = isinstance(request.prompts[0], MaskPrompt)
    kept = KeptMasks(folder, request) if of_masks else KeptNumbers(request)
    total = sum(abs((stream.num_frames - 1 if leg.last is None else leg.last) - leg.start) + 1 for leg in legs)
    with ProgressReport(stream.name, total, "frames") as progress:
        for leg in legs:
            for done, (_, found) in enumerate(follow(leg.start, frames_of(stream, leg))):
                if leg.step > 0 or done:  # the prompted frame itself belongs to the pass forwards
                    with watch("write"):
                        kept.add(leg.start + leg.step * done, leg.start, found)
                progress.advance()
    for t, frame in enumerate(stream):
        yield frame, kept.at(t)
