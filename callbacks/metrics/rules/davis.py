"""Rules of DAVIS-2016 and 2017, of YouTube-VOS, and of VOST."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..outlines import Outline, region_score
from .base import Ids, ObjectValues, Plan, Rules, Values, Video, new_numbers


@dataclass(frozen=True)
class DavisRules(Rules):
    """J and F, their recall and decay, of the objects of the first mask, over all frames but the first and the last.

    Attributes:
        merged: all numbers are one object (DAVIS-2016).
    """

    source: ClassVar[str] = "davisvideochallenge/davis2017-evaluation @ ac7c43f, task semi-supervised"
    refuses_unknown: ClassVar[bool] = True
    objects_enter: ClassVar[bool] = False
    merged: bool = False

    def ids(self, ids: Ids) -> Ids:
        """Return 1 for each object where they are merged."""
        return (ids > 0).astype(np.uint8) if self.merged else ids


@dataclass(frozen=True)
class YoutubeVosRules(DavisRules):
    """J and F of objects that may enter with any annotated frame, which itself does not count.

    With a meta.json the scores are averaged by category: J and F of the categories that training has seen and of those
    that it has not, and the mean of the four.
    """

    source: ClassVar[str] = (
        "Xu et al., YouTube-VOS (arXiv:1809.03327), section 5; the server's code is not published: that the last frame "
        "counts is inferred"
    )
    refuses_unknown: ClassVar[bool] = False
    objects_enter: ClassVar[bool] = True
    inner_only: ClassVar[bool] = False

    def plan(self, video: Video) -> Plan:
        """Return each object in the annotated frames after the one that introduces it."""
        starts = dict(video.starts or {})
        for t, stem in enumerate(video.stems) if video.starts is None else ():
            for number in new_numbers(self.ids(video.truth(stem)), {0, 255, *starts}):
                starts[number] = t
        frames = {number: list(video.stems[start + 1 :]) for number, start in sorted(starts.items())}
        return {number: stems for number, stems in frames.items() if stems}

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the means over seen and unseen categories; over all objects without metadata."""
        if not videos:
            return super().table(objects, videos, unseen)
        rows = []
        for (video, number), values in objects.items():
            category = videos.get(video, {}).get("objects", {}).get(str(number), {}).get("category")
            if not category:
                raise ValueError(f"gives no category for object {number} of {video}, which the masks hold")
            rows.append({**values, "Unseen": category in unseen})
        return seen_and_unseen(rows)


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


def seen_and_unseen(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return `Overall` and J and F of seen and unseen categories.

    Args:
        rows: one per object, with `J-Mean`, `F-Mean` and `Unseen`.

    Returns:
        Fractions; empty where there are no rows.

    Example:
        >>> rows = [{"J-Mean": 0.5, "F-Mean": 0.75, "Unseen": False}, {"J-Mean": 0.25, "F-Mean": 0.5, "Unseen": True}]
        >>> seen_and_unseen(rows)
        {'Overall': 0.5, 'J-Seen': 0.5, 'F-Seen': 0.75, 'J-Unseen': 0.25, 'F-Unseen': 0.5}
    """
    scores = {
        f"{measure}-{kind}": float(np.mean([row[f"{measure}-Mean"] for row in chosen]))
        for kind, unseen in (("Seen", False), ("Unseen", True))
        if (chosen := [row for row in rows if row["Unseen"] is unseen])
        for measure in ("J", "F")
    }
    return {"Overall": float(np.mean(list(scores.values()))), **scores} if scores else {}
