"""Passes of the engine over a video, forwards and backwards, and their results, kept until all passes have finished."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
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

from .. import signals
from ..tracking.stopwatch import Stopwatch
from .plan import Leg, nearest_prompt, prompted_frames
from .request import Follow, Request
from .unfinished import Bookmark, Unfinished


class KeptMasks:
    """Masks of all passes, in the files that predict writes: a later pass adds its objects to what is there.

    Args:
        folder: folder of the masks.
        stream: names the files.
        palette: `(256, 3)` RGB of each id.
        objects: prompted frame → ids of its objects.
    """

    def __init__(
        self, folder: Path, stream: FrameStream, palette: NDArray[np.uint8], objects: Mapping[int, Sequence[int | str]]
    ) -> None:
        self._folder, self._stream, self._palette = folder, stream, palette
        self._frames = prompted_frames(objects)
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, t: int, start: int, found: Tensor) -> None:
        """Keep ids `(H, W)` that the pass from the prompted frame `start` found in frame `t`, of its objects."""
        nearest = {int(number): nearest_prompt(frames, t) for number, frames in self._frames.items()}
        wanted = np.zeros(256, np.uint8)
        for number, frame in nearest.items():
            wanted[number] = number if frame == start else 0
        ids, path = wanted[found.numpy()], self._folder / f"{self._stream.stem(t)}.png"
        if path.is_file():
            distance = {number: (abs(t - frame), frame) for number, frame in nearest.items()}
            ids = merged(read_mask(path), ids, distance)
        write_ids(path, ids, self._palette)

    def at(self, t: int) -> Tensor:
        """Return ids `(H, W)` of frame `t`, of all objects."""
        return torch.from_numpy(read_mask(self._folder / f"{self._stream.stem(t)}.png"))


class KeptNumbers:
    """Boxes or points of all passes.

    Args:
        found: index of a frame → one row for each object; it is filled.
        objects: prompted frame → its objects, in the order in which its pass gives them.
    """

    def __init__(self, found: dict[int, Tensor], objects: Mapping[int, Sequence[int | str]]) -> None:
        self._found, self._objects = found, objects
        self._frames = prompted_frames(objects)
        self._rows = {name: row for row, name in enumerate(self._frames)}

    def add(self, t: int, start: int, found: Any) -> None:
        """Keep the `(N, …)` rows that the pass from the prompted frame `start` found in frame `t`, of its objects."""
        values = torch.as_tensor(found)
        rows = self._found.setdefault(t, values.new_full((len(self._rows), values.shape[1]), torch.nan))
        for name, row in zip(self._objects[start], values, strict=True):
            if nearest_prompt(self._frames[name], t) == start:
                rows[self._rows[name]] = row

    def at(self, t: int) -> Tensor:
        """Return one row for each object in frame `t`."""
        return self._found[t]


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


def frames_of(stream: FrameStream, leg: Leg, skipped: int = 0) -> Iterator[Tensor]:
    """Return the frames of a pass in its direction, without its first ones."""
    start = leg.start + leg.step * skipped
    frames = stream.forwards(start) if leg.step > 0 else stream.backwards(start)
    count = None if leg.last is None else max(0, (leg.last - start) * leg.step + 1)
    return itertools.islice(frames, count)


def run_passes(
    request: Request, follow: Follow, folder: Path, unfinished: Unfinished, watch: Stopwatch, began: float
) -> Iterator[tuple[Tensor, Any]]:
    """Follow all prompts, pass after pass, then yield the frames in order with what was found in each.

    Args:
        request: the prompts.
        follow: carries those of one frame in one direction.
        folder: folder of the prediction; masks are kept in its `masks`.
        unfinished: holds where to resume; it is saved now and then and after each pass.
        watch: its seconds are saved too.
        began: when the prediction did, `time.perf_counter()`.

    Raises:
        Stopped: if a signal asks for it, after the current frame.
    """
    stream, legs = request.stream, request.legs
    kept: KeptMasks | KeptNumbers = KeptNumbers(unfinished.found, request.objects)
    if isinstance(request.prompts[0], MaskPrompt):
        kept = KeptMasks(folder / "masks", stream, request.palette(), request.objects)

    def save(leg: int, frame: int) -> None:
        unfinished.save(frame, time.perf_counter() - began, watch.seconds, leg)

    total = sum(abs((stream.num_frames - 1 if leg.last is None else leg.last) - leg.start) + 1 for leg in legs)
    with ProgressReport(stream.name, total, "frames") as progress:
        for number, leg in enumerate(legs):
            if number < unfinished.bookmark.leg:
                continue
            if number > unfinished.bookmark.leg:
                unfinished.bookmark = Bookmark(number)
            skipped = unfinished.bookmark.frame
            found = follow(leg.start, frames_of(stream, leg, skipped), unfinished.bookmark)
            for done, (_, what) in enumerate(found, start=skipped):
                t = leg.start + leg.step * done
                if leg.step > 0 or done:
                    with watch("write"):
                        kept.add(t, leg.start, what)
                progress.advance()
                if signals.requested() or unfinished.is_due():
                    save(number, done + 1)
                    signals.check()
            unfinished.bookmark = Bookmark(number + 1)
            save(number + 1, 0)
    for t, frame in enumerate(stream):
        yield frame, kept.at(t)
