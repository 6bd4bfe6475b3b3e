"""Rules of LVOS."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import ObjectValues, Plan, Rules, Values, Video, mean

STEP = 5
"""Every fifth frame of an object's range is visited."""


@dataclass(frozen=True)
class LvosRules(Rules):
    """J, F and their variation V over each object's own range of frames, averaged over seen and unseen videos.

    Objects and ranges come from the metadata file. Every fifth frame from `start` up to and without `end` is visited.
    The first one does not count, nor does the one with index `frame_nums` − 1. Frames without the object count.

    Attributes:
        drops_ends: False is the code before May 2024, by which nothing is left out; a last place that is never visited
            counts 0.
    """

    source: ClassVar[str] = "LingyiHongfd/lvos-evaluation @ 25cb02d; lvos-2023: @ 9ff733c"
    needs_meta: ClassVar[bool] = True
    inner_only: ClassVar[bool] = False
    drops_ends: bool = True

    def plan(self, video: Video) -> Plan:
        """Return the frames of each object of the metadata file."""
        return {int(number): self._places(number, entry) for number, entry in video.meta["objects"].items()}

    def _places(self, number: str, entry: Mapping[str, Any]) -> list[str | None]:
        start, end, count = (int(entry["frame_range"][name]) for name in ("start", "end", "frame_nums"))
        visited: list[str | None] = [f"{frame:08d}" for frame in range(start, end, STEP)]
        if len(visited) > count or count < 2 * self.drops_ends:
            raise ValueError(
                f"object {number}: frame_nums is {count}, but its range from {start} to {end} has {len(visited)} frames"
            )
        places = visited + [None] * (count - len(visited))
        return places[1 : count - 1] if self.drops_ends else places

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means of J and F, and V: the standard deviation of their mean over the frames."""
        both = frames.mean(axis=1)
        variance = mean((both - mean(both)) ** 2)
        variation = math.sqrt(round(variance, 4)) if both.size else math.nan
        return {"J-Mean": mean(frames[:, 0]), "F-Mean": mean(frames[:, 1]), "V-Mean": variation}

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the means over the objects of seen videos, over those of unseen ones, and the means of the two."""
        scores: Values = {}
        for measure in ("J", "F", "V"):
            for kind in ("seen", "unseen"):
                values = [found[f"{measure}-Mean"] for (video, _), found in objects.items()
                          if (video in unseen) == (kind == "unseen")]  # fmt: skip
                scores[f"{measure}-{kind}-Mean"] = mean(np.array(values))
            scores[f"{measure}-Mean"] = (scores[f"{measure}-seen-Mean"] + scores[f"{measure}-unseen-Mean"]) / 2
        groups = [scores[f"{measure}-{kind}-Mean"] for measure in "JF" for kind in ("seen", "unseen")]
        return {"J&F-Mean": float(np.mean(groups)), **scores}
