"""Rules of MOSEv2."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..outlines import BOUND, Outline, boundary_score, shared_area
from .base import ObjectValues, Plan, Rules, Values, Video, mean

NEW_BOUND = 0.1
"""Tolerance of F_new as a fraction of the square root of the object's area."""


@dataclass(frozen=True)
class MoseV2Rules(Rules):
    """J and F of MOSEv2, a tolerance of F that follows the object's size, and the frames of absence and of return.

    J is (intersection + 1) / (union + 1). F_new matches boundaries within 0.1 of the root of the object's area, where
    that is less than DAVIS's tolerance; else, and where the object is away, both F take DAVIS's tolerance without
    rounding it, by a disk that is then not centred on the pixel.
    """

    source: ClassVar[str] = "henghuiding/MOSE-api @ 241977a, MOSEv2/sam2_rcms/tools"
    measures: ClassVar[tuple[str, ...]] = ("J", "F_new", "F", "present")
    needs_meta: ClassVar[bool] = True
    missing_video: ClassVar[Literal["refused", "left out", "counted as 0"]] = "counted as 0"

    def plan(self, video: Video) -> Plan:
        """Return the objects of the metadata file, in all frames but the first and the last."""
        return {int(number): list(video.inner()) for number in video.meta["objects"]}

    def required(self, video: Video, plan: Plan) -> list[str]:
        """Return all frames but the last: the official code takes frames by their number and shifts where one lacks."""
        return list(video.stems[:-1])

    def measure(self, prediction: Outline, target: Outline) -> tuple[float, ...]:
        """Return J, F_new, F, and whether the truth has the object."""
        shared = shared_area(prediction, target)
        region = (shared + 1) / (prediction.area + target.area - shared + 1)
        limit = BOUND * float(np.linalg.norm(target.shape))
        radius = math.ceil(NEW_BOUND * math.sqrt(target.area))
        if target.area and radius < limit:
            new, old = (_boundary(prediction, target, bound) for bound in (radius, math.ceil(limit)))
        else:
            new = old = _boundary(prediction, target, limit)
        return region, new, old, float(target.area > 0)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means over all frames, over the runs of absence and over those of return."""
        present = frames[:, 3] > 0
        runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(present)) + 1)[1:]  # without the first run
        gone, back = ([run for run in runs if present[run[0]] == state] for state in (False, True))
        values = {f"{name}-Mean": float(frames[:, k].sum()) / max(len(frames), 1)
                  for k, name in enumerate(("J", "F_new", "F"))}  # fmt: skip
        for kind, chosen in (("disappear", gone), ("reappear", back)):
            for k, name in enumerate(("J", "F_new")):
                values[f"{kind}_{name}-Mean"] = mean(np.array([np.mean(frames[run, k]) for run in chosen]))
        return values

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the means over all objects; over those that have such frames for disappear and reappear."""

        def over_objects(name: str) -> float:
            values = np.array([found[f"{name}-Mean"] for found in objects.values()])
            return mean(values[~np.isnan(values)])

        scores = {name: over_objects(name) for name in ("J", "F", "F_new")}
        for prefix, name in (("", "F"), ("", "F_new"), ("disappear_", "F_new"), ("reappear_", "F_new")):
            scores[f"{prefix}J&{name}"] = (over_objects(f"{prefix}J") + over_objects(f"{prefix}{name}")) / 2
        return scores


def _boundary(prediction: Outline, target: Outline, radius: float) -> float:
    return boundary_score(replace(prediction, radius=radius), replace(target, radius=radius))
