"""The base of all rules for scoring masks: J and F of each frame, means over frames, means over objects."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..outlines import Outline, boundary_score, region_score

Ids = NDArray[np.uint8]
Object = int | str
"""Number of an object, or the name of its folder."""
Values = dict[str, float]
ObjectValues = Mapping[tuple[str, Object], Values]
"""(video, object) → its values."""
Plan = Mapping[Object, Sequence[str | None]]
"""Object → names of the frames that count; None is one that is never visited and counts 0."""


@dataclass(frozen=True)
class Video:
    """The part of a video that rules may look at before the frames of a video are compared.

    Attributes:
        name: name of the video.
        stems: names of the annotated frames without their ending, sorted.
        truth: returns the annotation `(H, W)` of one of them.
        meta: the entry of the video in the data set's metadata file; empty without one.
        keep_ends: count the first and the last frame too, where the rules leave them out by default.
        starts: object → position in `stems` of the frame that introduces it; None: found in the annotations.
    """

    name: str
    stems: Sequence[str]
    truth: Callable[[str], Ids]
    meta: Mapping[str, Any] = field(default_factory=dict)
    keep_ends: bool = False
    starts: Mapping[int, int] | None = None

    def inner(self) -> list[str]:
        """Return the annotated frames without the first and the last one."""
        return list(self.stems if self.keep_ends else self.stems[1:-1])


@dataclass(frozen=True)
class Rules:
    """Rules for scoring masks; the defaults are what DAVIS and its descendants share.

    Attributes:
        name: name on the command line.
    """

    name: str
    source: ClassVar[str]
    """The publication and code that define the rules, and what is inferred."""
    measures: ClassVar[tuple[str, ...]] = ("J", "F")
    """Names of the numbers that `measure` returns."""
    inner_only: ClassVar[bool] = True
    """The first and the last annotated frame of a video do not count."""
    objects_enter: ClassVar[bool] = True
    """Objects may enter after the first mask; otherwise those of the first mask are all."""
    needs_meta: ClassVar[bool] = False
    """Objects and frames come from a metadata file of the data set."""
    refuses_unknown: ClassVar[bool] = False
    """A number that is no object of the video is an error; otherwise it matches nothing."""
    missing_video: ClassVar[Literal["refused", "left out", "zero"]] = "refused"
    """Treatment of a video without predictions by the official code."""
    folder_per_object: ClassVar[bool] = False
    """Masks lie in a folder per object, which may overlap; otherwise in one image per frame."""

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that identify the rules."""
        text = json.dumps([type(self).__name__, self.source, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values of an object."""
        return tuple(self.summarise(np.zeros((4, len(self.measures)))))  # an object that was never found has them too

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores of a data set without metadata."""
        return tuple(self.table({("", 1): dict.fromkeys(self.columns, 0.0)}, {}, ()))

    def stated(self) -> dict[str, str]:
        """Return name, source and digest, for results.json."""
        return {"name": self.name, "source": self.source, "digest": self.digest}

    def ids(self, ids: Ids) -> Ids:
        """Return a mask as the rules read it."""
        return ids

    def plan(self, video: Video) -> Plan:
        """Return the frames that count for each object.

        By default the objects are the numbers from 1 to the largest of the first mask, in all frames but the first and
        the last. A number that is missing between them is an object too: absent everywhere, it scores 1 unless it is
        predicted.

        Raises:
            ValueError: where the annotations leave nothing to score; one line without the name of the video.
        """
        objects = range(1, largest_id(self.ids(video.truth(video.stems[0]))) + 1)
        return required_plan(video, {number: list(video.inner()) for number in objects})

    def required(self, video: Video, plan: Plan) -> list[str]:
        """Return the frames that must have a prediction, whether they count in the `plan` of the video or not."""
        return sorted({stem for stems in plan.values() for stem in stems if stem is not None})

    def measure(self, prediction: Outline, target: Outline) -> tuple[float, ...]:
        """Return the measures of one object in one frame."""
        return region_score(prediction, target), boundary_score(prediction, target)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the values of an object from its measures (frames, measures): mean, recall and decay of each."""
        return {
            f"{measure}-{name}": value
            for measure, column in zip(self.measures, frames.T, strict=True)
            for name, value in zip(("Mean", "Recall", "Decay"), sequence_statistics(column), strict=True)
        }

    def table(self, objects: ObjectValues, videos: Mapping[str, Mapping[str, Any]], unseen: Collection[str]) -> Values:
        """Return the scores of the data set: by default the means over all objects.

        Args:
            objects: values of each object.
            videos: metadata of each video, where the rules need them.
            unseen: videos or categories that training has not seen, where the rules distinguish them.
        """
        names = next(iter(objects.values()))
        scores = {name: float(np.mean([values[name] for values in objects.values()])) for name in names}
        both = {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2} if "F-Mean" in scores else {}
        return both | scores


def required_plan(video: Video, plan: Plan) -> Plan:
    """Return a plan.

    Raises:
        ValueError: if it leaves nothing to score.
    """
    if not any(plan.values()):
        raise ValueError(f"{len(video.stems)} masks, none of which is left to score an object on")
    return plan


def mean(values: NDArray[np.float64]) -> float:
    """Return the mean, NaN of nothing."""
    return float(np.mean(values)) if values.size else math.nan


def largest_id(ids: Ids) -> int:
    """Return the largest number of a mask that is not 255."""
    return int(ids.max(where=ids != 255, initial=0))


def sequence_statistics(values: ArrayLike) -> tuple[float, float, float]:
    """Return mean, recall and decay of a measure over the frames of one sequence.

    Recall is the fraction of frames above 0.5, strictly; NaN is a miss there and left out of the means. Decay is the
    mean of the first quarter less the mean of the last, the quarters sharing their end frames as in the official code.
    That code holds frame numbers in 8 bits, so its decay wraps from 256 frames on; here it does not.

    Args:
        values: (T,) J or F of each frame.

    Raises:
        ValueError: if there is no frame.
    """
    measure = np.asarray(values, dtype=np.float64)
    if measure.ndim != 1 or not measure.size:
        raise ValueError(f"values must be (T,) with at least one scored frame, got shape {measure.shape}")
    edges = np.round(np.linspace(1, len(measure), 5) + 1e-10).astype(int) - 1
    first, last = measure[edges[0] : edges[1] + 1], measure[edges[3] : edges[4] + 1]
    return known_mean(measure), float(np.mean(measure > 0.5)), known_mean(first) - known_mean(last)


def known_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of what is not NaN."""
    known = ~np.isnan(values)  # zeros in the place of NaN, as numpy's nanmean adds up
    return float(np.where(known, values, 0.0).sum() / known.sum()) if known.any() else math.nan
