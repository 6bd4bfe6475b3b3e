"""Rules of vos-benchmark, and of SA-V, whose code descends from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..outlines import Outline
from .base import ObjectValues, Plan, Rules, Values, Video, new_numbers


@dataclass(frozen=True)
class VosBenchmarkRules(Rules):
    """J and F of every number that the truth holds in a scored frame, from where truth or prediction first has it.

    The first and the last annotated frame do not count. The frame that introduces a late object does, and a false mask
    before it costs every frame up to it. 255 is a number like others.
    """

    source: ClassVar[str] = "hkchengrex/vos-benchmark @ 0c21008 with its defaults, as used for MOSE v1"
    measures: ClassVar[tuple[str, ...]] = ("J", "F", "present")
    missing_video: ClassVar[Literal["refused", "left out", "counted as 0"]] = "left out"
    empty_video: ClassVar[Literal["refused", "left out"]] = "left out"

    def plan(self, video: Video) -> Plan:
        """Return the numbers of the scored frames, in all of them."""
        numbers, frames = {0}, video.inner()
        for stem in frames:
            numbers |= new_numbers(video.truth(stem), numbers)
        return dict.fromkeys(sorted(numbers - {0}), frames)

    def measure(self, prediction: Outline, target: Outline) -> tuple[float, ...]:
        """Return J, F, and whether either mask has a pixel."""
        return *super().measure(prediction, target), float(bool(prediction.area or target.area))

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means from the first frame on in which either mask has a pixel."""
        first = int(np.argmax(frames[:, 2] > 0))
        return {f"{name}-Mean": float(np.mean(frames[first:, k])) for k, name in enumerate(("J", "F"))}

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the means over all objects."""
        scores = super().table(objects, videos, unseen)
        return {name.removesuffix("-Mean"): score for name, score in scores.items()}


@dataclass(frozen=True)
class SaVRules(VosBenchmarkRules):
    """The rules of vos-benchmark with a folder per object, whose own annotated frames count.

    Objects may overlap. The same code takes one image per frame with a number per object, by the same rules.
    """

    source: ClassVar[str] = "facebookresearch/sam2 @ 2b90b9f, sav_dataset/sav_evaluator.py"
    folder_per_object: ClassVar[bool] = True
    empty_video: ClassVar[Literal["refused", "left out"]] = "refused"
