"""Rules of VOST."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..outlines import Outline, region_score
from .base import Object, ObjectValues, Rules, Values, Video, largest_id, sequence_statistics


@dataclass(frozen=True)
class VostRules(Rules):
    """J alone, over all annotated frames but the first and the last, and once more over their last quarter.

    Objects are the numbers from 1 to the largest of the first annotated frame; others count nowhere.
    """

    source: ClassVar[str] = "TRI-ML/VOST @ fe27457"
    measures: ClassVar[tuple[str, ...]] = ("J",)

    def plan(self, video: Video) -> dict[Object, list[str | None]]:
        """Return all objects of the first mask, in all frames but the first and the last."""
        objects = range(1, largest_id(video.truth(video.stems[0])) + 1)
        if not objects or not video.inner():
            raise ValueError(f"{len(video.stems)} masks, none of which is left to score an object on")
        return {number: list(video.inner()) for number in objects}

    def measure(self, prediction: Outline, target: Outline) -> tuple[float, ...]:
        """Return J."""
        return (region_score(prediction, target),)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return mean, recall and decay, over all frames and over the last quarter."""
        region = frames[:, 0]
        return {
            f"{measure}-{name}": value
            for measure, part in (("J", region), ("J_last", region[math.floor(0.75 * len(region)) :]))
            for name, value in zip(("Mean", "Recall", "Decay"), sequence_statistics(part), strict=True)
        }

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the means over all objects."""
        names = next(iter(objects.values()))
        return {name: float(np.mean([values[name] for values in objects.values()])) for name in names}
