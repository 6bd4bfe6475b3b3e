"""Passes of a tracker over a video, forwards and backwards, and their results, kept until all passes have finished."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.reading.files import ProgressReport
from datamodules.reading.mask_files import read_mask, write_ids
from datamodules.reading.prompts import MaskPrompt

from ..tracking.stopwatch import Stopwatch
from .follow import Follow
from .request import Request, nearest_prompt


class KeptMasks:
    """Masks of all passes, in the files that predict writes: a later pass adds its objects to what is there.

    Args:
        folder: folder of the masks.
        request: its stream names the files, its prompts bring the objects.
    """

    def __init__(self, folder: Path, request: Request) -> None:
        self._folder, self._stem, self._palette = folder, request.stream.stem, request.palette()
        self._prompted = request.prompted
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, t: int, start: int, found: Tensor) -> None:
        """Keep ids `(H, W)` that the pass from the prompted frame `start` found in frame `t`.

        Only objects whose nearest prompt that is are kept; a pixel that several passes claim goes to the nearest.
        """
        nearest = {int(number): nearest_prompt(frames, t) for number, frames in self._prompted.items()}
        path, own = self._folder / f"{self._stem(t)}.png", [key for key, frame in nearest.items() if frame == start]
        ids = np.where(np.isin(found.numpy(), own), found.numpy(), 0)
        if path.is_file():
            kept = read_mask(path)
            farther = [key for key, frame in nearest.items() if (abs(t - frame), frame) > (abs(t - start), start)]
            ids = np.where((ids > 0) & np.isin(kept, [0, *farther]), ids, kept)
        write_ids(path, ids, self._palette)

    def at(self, t: int) -> Tensor:
        """Return ids `(H, W)` of frame `t`, of all objects."""
        return torch.from_numpy(read_mask(self._folder / f"{self._stem(t)}.png"))


class KeptNumbers:
    """Boxes or points of all passes, one row for each object, in the order of the objects' first prompts."""

    def __init__(self, request: Request) -> None:
        self._kept: dict[int, Tensor] = {}
        self._objects, self._prompted = request.objects, request.prompted
        self._rows = {name: row for row, name in enumerate(request.prompted)}

    def add(self, t: int, start: int, found: Any) -> None:
        """Keep the `(N, …)` rows that the pass from the prompted frame `start` found in frame `t`, of its objects."""
        values = torch.as_tensor(found)
        rows = self._kept.setdefault(t, values.new_full((len(self._rows), values.shape[1]), torch.nan))
        for name, row in zip(self._objects[start], values, strict=True):
            if nearest_prompt(self._prompted[name], t) == start:
                rows[self._rows[name]] = row

    def at(self, t: int) -> Tensor:
        """Return one row for each object in frame `t`."""
        return self._kept[t]


def run_passes(request: Request, follow: Follow, folder: Path, watch: Stopwatch) -> Iterator[tuple[Tensor, Any]]:
    """Follow all prompts, pass after pass, then yield the frames in order with what was found in each.

    Args:
        request: the prompts.
        follow: follows those of one frame in one direction.
        folder: folder of the masks, which are kept there meanwhile.
        watch: counts the seconds of "write".

    Raises:
        Stopped: if a signal asks for it, after the current frame.
    """
    stream = request.stream
    of_masks = isinstance(request.prompts[0], MaskPrompt)
    kept = KeptMasks(folder, request) if of_masks else KeptNumbers(request)
    lengths = [abs((stream.num_frames - 1 if last is None else last) - start) + 1 for start, _, last in request.passes]
    with ProgressReport(stream.name, sum(lengths), "frames") as progress:
        for start, step, last in request.passes:
            read = stream.forwards(start) if step > 0 else stream.backwards(start)
            wanted = None if last is None else abs(last - start) + 1
            for done, (_, found) in enumerate(follow(start, itertools.islice(read, wanted))):
                if step > 0 or done:  # the prompted frame itself belongs to the pass forwards
                    with watch("write"):
                        kept.add(start + step * done, start, found)
                progress.advance()
    for t, frame in enumerate(stream):
        yield frame, kept.at(t)
