"""Rules of VOST."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..outlines import Outline, region_score
from .base import Rules, Values


@dataclass(frozen=True)
class VostRules(Rules):
    """J alone, over all annotated frames but the first and the last, and once more over their last quarter.

    Objects are the numbers from 1 to the largest of the first annotated frame; others count nowhere.
    """

    source: ClassVar[str] = "TRI-ML/VOST @ fe27457"
    measures: ClassVar[tuple[str, ...]] = ("J",)
    objects_enter: ClassVar[bool] = False

    def measure(self, prediction: Outline, target: Outline) -> tuple[float, ...]:
        """Return J."""
        return (region_score(prediction, target),)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return mean, recall and decay, over all frames and over the last quarter."""
        last = super().summarise(frames[math.floor(0.75 * len(frames)) :])
        return super().summarise(frames) | {name.replace("J", "J_last"): value for name, value in last.items()}
