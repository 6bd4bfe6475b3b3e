"""Rules for scoring masks: the frames and objects that count, J and F by frame, means over frames and objects."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .declared import Score
from .outlines import Outline, boundary_score, jaccard, object_outlines

Ids = NDArray[np.uint8]
Object = int | str
"""Id of an object, or the name of its folder."""
Values = dict[str, float]
ObjectValues = Mapping[tuple[str, Object], Values]
"""(video, object) → its values."""
Pair = tuple[Outline, Outline]
"""The predicted and the annotated object of a frame."""
UNRANKED = {name: Score(name, "neither", -1.0) for name in ("J-Decay", "F-Decay")}
"""Scores without a best value; for all others more is better."""
Plan = Mapping[int, Sequence[int]]
"""Id of an object → indices of the frames that count."""


class Metadata(NamedTuple):
    """Metadata of a data set, beside its masks.

    Attributes:
        videos: video → its entry in the data set's metadata file.
        unseen: categories that training has not seen.
        file: the metadata file, for messages.
    """

    videos: Mapping[str, Mapping[str, Any]] = {}
    unseen: Collection[str] = ()
    file: object = None


@dataclass(frozen=True)
class AnnotatedVideo:
    """The annotation of a video, from which rules plan the scoring.

    Attributes:
        name: name of the video.
        frames: indices of the annotated frames, ascending.
        shown: index of an annotated frame → ids in its annotation, without 0.
        starts: object → index of its first frame; None: the rules find it in the annotations.
    """

    name: str
    frames: Sequence[int]
    shown: Callable[[int], Collection[int]]
    starts: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Rules:
    """Rules for scoring masks; the defaults are common to DAVIS and its descendants.

    Attributes:
        name: name on the command line.
        read_metadata: reads the data set's metadata, when they are first needed; by default there are none.
        keep_ends: count the first and the last annotated frame too, by rules that leave them out (`inner_only`).
        source: the publication and code that define the rules, and any inferred rule.
        measures: names of the numbers that `measure` returns.
        inner_only: the first and the last annotated frame of a video do not count.
        objects_enter: objects may enter after the first mask; otherwise only objects of the first mask are scored.
        refuses_unknown: an id that is no object of the video is an error; otherwise it matches nothing.
        pooled: scores are not the plain means over all objects, or have other names than the values of objects.
        has_void: 255 beside ids is void, which is background; otherwise it is an ordinary id.
    """

    name: str
    read_metadata: Callable[[], Metadata] = field(default=Metadata, compare=False, kw_only=True)
    keep_ends: bool = field(default=False, kw_only=True)
    source: ClassVar[str]
    measures: ClassVar[tuple[str, ...]] = ("J", "F")
    inner_only: ClassVar[bool] = True
    objects_enter: ClassVar[bool] = True
    refuses_unknown: ClassVar[bool] = False
    pooled: ClassVar[bool] = False
    has_void: ClassVar[bool] = True

    @cached_property
    def metadata(self) -> Metadata:
        """The data set's metadata, read when they are first needed."""
        return self.read_metadata()

    @property
    def declared(self) -> tuple[Score, ...]:
        """Declarations of the scores that the rules return without metadata, the means first."""
        # only the names are read, so any values of an object will do
        lost_object = self.summarise(np.zeros((4, len(self.measures))))
        names = replace(self, read_metadata=Metadata).scores({("", 1): lost_object})
        return self.declare(sorted(names, key=lambda name: not name.endswith("Mean")))

    def doubts(self, scores: Values) -> list[str]:
        """Return sentences about scores to which no object contributes, and objects of the metadata that are no ids."""
        sentences: list[str] = []
        undefined = [name for name, score in scores.items() if math.isnan(score)]
        if undefined:
            sentences.append(f"No scored object counts for {', '.join(undefined)}")
        names: set[str] = set()
        for entry in self.metadata.videos.values():
            names.update(map(str, entry.get("objects") or ()))
        no_ids = sorted(name for name in names if not name.isdecimal())
        if no_ids:
            sentences.append(f"Objects {', '.join(no_ids)} of the metadata are no ids of masks: they are not scored")
        return sentences

    def declare(self, names: Iterable[str]) -> tuple[Score, ...]:
        """Return declarations of scores by their names."""
        return tuple(UNRANKED.get(name, Score(name)) for name in names)

    def facts(self) -> dict[str, str]:
        """Return name, source and scored frames of the rules, for results.json."""
        frames = "all but the first and the last" if self.inner_only else "those after an object's first"
        return {"name": self.name, "source": self.source, "frames": "all" if self.keep_ends else frames}

    def ids(self, ids: Ids) -> Ids:
        """Return the ids `(H, W)` by which the rules score a mask; rules may merge all objects."""
        return ids

    def counted(self, video: AnnotatedVideo) -> list[int]:
        """Return the annotated frames of a video without the first and the last, or all frames with `keep_ends`."""
        return list(video.frames if self.keep_ends else video.frames[1:-1])

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Return object → frames that count; empty if no frame or no object is left to score.

        By default the objects are the ids from 1 to the largest id of the first mask, in all frames but the first and
        the last. A missing id below the largest is an object too: it scores 1 unless it is predicted.

        Raises:
            KeyError: for metadata that lack the video.
            ValueError: if an id below the largest occurs in no mask, and the metadata do not name it: the official code
                would count it as perfect.
        """
        largest = max(set(video.shown(video.frames[0])) - {255}, default=0)
        entry = self.metadata.videos.get(video.name, {})
        named = map(int, filter(str.isdecimal, entry.get("objects") or ()))
        gaps = set(range(1, largest + 1)).difference(named, video.shown(video.frames[0]))
        # seldom: only now are the masks of all frames read
        if gaps:
            gaps.difference_update(*map(video.shown, video.frames))
        if gaps:
            listed = ", ".join(map(str, sorted(gaps)[:3]))
            remedy = "number the objects from 1 on, or score by youtube-vos or vos-benchmark"
            raise ValueError(
                f"the largest id is {largest}, and {len(gaps)} below it, such as {listed}, occur in no mask; these "
                f"rules would count each as found: {remedy}"
            )
        frames = self.counted(video)
        return dict.fromkeys(range(1, largest + 1), frames) if frames else {}

    def required(self, video: AnnotatedVideo, plan: Plan) -> list[int]:
        """Return the indices of the frames that must have a prediction, ascending: by default all of the `plan`."""
        return sorted(set().union(*plan.values()))

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        """Return the values of `measures` of an object in a frame: by default J and F.

        `before` is the object's prediction and annotation in the frame before that counts, None for its first frame.
        """
        return jaccard(prediction, target), boundary_score(prediction, target)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the values of an object from its `measures` in each frame that counts, `(frames, measures)`.

        By default they are mean, recall and decay of each measure, such as `J-Mean`.
        """
        values: Values = {}
        for measure, column in zip(self.measures, frames.T, strict=True):
            frame_mean, recall, decay = sequence_statistics(column)
            values[f"{measure}-Mean"] = frame_mean
            values[f"{measure}-Recall"] = recall
            values[f"{measure}-Decay"] = decay
        return values

    def scores(self, objects: ObjectValues) -> Values:
        """Return the scores of a data set from the values of its objects, at least one.

        By default they are the means over all objects, and first `J&F-Mean`, if there are J and F.
        """
        names = next(iter(objects.values()))
        scores = {name: mean(column(objects.values(), name)) for name in names}
        if "F-Mean" not in scores:
            return scores
        return {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}


@dataclass(frozen=True)
class DavisRules(Rules):
    """J and F, their recall and decay, of the objects of the first mask, over all frames but the first and the last.

    Attributes:
        merged: merge all ids into a single object (DAVIS-2016).
    """

    source = "davisvideochallenge/davis2017-evaluation @ ac7c43f, task semi-supervised"
    refuses_unknown = True
    objects_enter = False
    merged: bool = False

    def ids(self, ids: Ids) -> Ids:
        return (ids > 0).astype(np.uint8) if self.merged else ids

    def plan(self, video: AnnotatedVideo) -> Plan:
        if not self.merged:
            return super().plan(video)
        has_object = bool(set(video.shown(video.frames[0])) - {255})
        frames = self.counted(video)
        return {1: frames} if has_object and frames else {}


def numbers_in(ids: Ids) -> set[int]:
    """Return the ids of a mask `(H, W)`, without the background 0."""
    return set(np.flatnonzero(np.bincount(ids.ravel())).tolist()) - {0}


class MaskScorer:
    """Score the masks of a video, frame by frame, by the rules of a data set.

    Args:
        rules: rules of the data set.
        video: the annotation, from which the rules plan the scoring.

    Attributes:
        plan: object → frames that count; empty if the rules leave nothing to score.
        objects: index of a frame that counts → the objects that count in it, in time order.
        measured: (object, index of a frame) → values of `Rules.measures`.
        writes_void: True once a prediction holds void in a frame whose annotation has none; void is background.

    Raises:
        KeyError: for metadata that do not fit.

    Example:
        >>> ids = np.ones((4, 4), np.uint8)
        >>> scorer = MaskScorer(DavisRules("davis-2017"), AnnotatedVideo("bike", range(3), lambda t: [1]))
        >>> for t in range(3):
        ...     scorer.add(t, ids, ids)
        >>> scorer.finish()[1]["J-Mean"]
        1.0
    """

    def __init__(self, rules: Rules, video: AnnotatedVideo) -> None:
        self.rules = rules
        self.video = video
        plan = rules.plan(video)
        # a mean over no frame is no score
        self.plan = plan if any(plan.values()) else {}
        objects_of: dict[int, list[int]] = {}
        for number, frames in self.plan.items():
            for t in frames:
                objects_of.setdefault(t, []).append(number)
        self.objects = dict(sorted(objects_of.items()))
        self.measured: dict[tuple[int, int], tuple[float, ...]] = {}
        # object → prediction and annotation in the last frame that counted
        self._before: dict[int, Pair] = {}
        self._shows_object = False
        # until it shows one: the predicted ids of each frame whose annotation shows an object of the plan
        self._foreign_ids: list[set[int]] = []
        self.writes_void = False

    def add(self, t: int, truth: Ids, prediction: Ids) -> None:
        """Score frame `t`, ids `(H, W)` both, if it counts; frames come in time order.

        Raises:
            ValueError: for a prediction of another size, or an id that is no object of the video if the rules refuse
                it.
        """
        if t not in self.objects:
            return
        numbers = self.objects[t]
        truth = self.rules.ids(truth)
        self._refuse_unknown(truth, "annotation")
        target = object_outlines(truth, numbers)
        ids = self.rules.ids(prediction)
        self._refuse_unknown(ids, "prediction")
        predicted = object_outlines(ids, numbers)
        if self.rules.has_void and ids.max() == 255 > truth.max():
            self.writes_void = True
        is_annotated = False
        for number in numbers:
            pair = predicted[number], target[number]
            self.measured[number, t] = self.rules.measure(*pair, self._before.get(number))
            self._before[number] = pair
            self._shows_object = self._shows_object or predicted[number].area > 0
            is_annotated = is_annotated or target[number].area > 0
        if is_annotated and not self._shows_object:
            self._foreign_ids.append(set(np.unique(ids).tolist()) - {0, 255})

    def _refuse_unknown(self, ids: Ids, label: str) -> None:
        # objects of these rules are 1 to n
        if not self.rules.refuses_unknown or ids.max() <= len(self.plan):
            return
        unknown = set(np.unique(ids).tolist()) - {0, *self.plan}
        if self.rules.has_void:
            unknown.discard(255)
        if unknown:
            raise ValueError(
                f"the {label} holds id {min(unknown)}; the video has the objects {', '.join(map(str, self.plan))}. "
                "Rules youtube-vos and vos-benchmark score objects that enter later"
            )

    def finish(self) -> dict[Object, Values]:
        """Return object → values, when all frames that count have been added.

        Raises:
            ValueError: if the prediction shows no object of the video, but other ids in most frames with an object.
        """
        self._refuse_foreign_ids()
        values: dict[Object, Values] = {}
        for number, frames in self.plan.items():
            values[number] = self.rules.summarise(np.array([self.measured[number, t] for t in frames]))
        return values

    def _refuse_foreign_ids(self) -> None:
        frames_with_ids = sum(1 for ids in self._foreign_ids if ids)
        if self._shows_object or frames_with_ids <= len(self._foreign_ids) / 2:
            return
        predicted = ", ".join(map(str, sorted(set().union(*self._foreign_ids))))
        annotated = ", ".join(map(str, sorted(self.plan)))
        raise ValueError(f"the predictions hold id {predicted}, the annotation {annotated}: none in common")

    def curves(self, begin: int) -> dict[str, tuple[list[int], list[float]]]:
        """Return "J" and "F" → places on a time axis from frame `begin` on, and means over the objects that count."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        frames = [t for t in self.objects if t >= begin]
        for k, measure in enumerate(self.rules.measures):
            if measure in ("J", "F"):
                means: list[float] = []
                for t in frames:
                    values = [self.measured[number, t][k] for number in self.objects[t]]
                    means.append(float(np.mean(values)))
                curves[measure] = [t - begin for t in frames], means
        return curves


def values_of_objects(rows: Iterable[Any]) -> dict[tuple[str, Object], Values]:
    """Return (video, object) → the floats of a result's rows, which the rules measured."""
    objects: dict[tuple[str, Object], Values] = {}
    for row in rows:
        measured = {name: value for name, value in row.values.items() if isinstance(value, float)}
        objects[row.video, row.object] = measured
    return objects


def column(objects: Iterable[Mapping[str, object]], name: str) -> NDArray[np.float64]:
    """Return one value of each object."""
    return np.array([values[name] for values in objects], np.float64)


def mean(values: NDArray[Any]) -> float:
    """Return the mean; NaN without values, for which numpy would warn."""
    return float(np.mean(values)) if values.size else math.nan


def known_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN without such a value, for which `np.nanmean` would warn."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan


def sequence_statistics(values: ArrayLike) -> tuple[float, float, float]:
    """Return mean, recall and decay of a measure over the frames of a sequence.

    Recall is the fraction of frames above 0.5, strictly; NaN counts as a miss. The means leave NaN out. Decay is the
    mean of the first quarter less the mean of the last quarter; as in the official code, the quarters share their end
    frames. The official code holds frame indices in 8 bits, so its decay wraps from 256 frames on; here it does not.

    Args:
        values: (T,) J or F by frame.

    Example:
        >>> sequence_statistics([0.75] * 5 + [0.25] * 3)
        (0.5625, 0.625, 0.5)
        >>> sequence_statistics([0.75] * 5 + [np.nan] * 3)
        (0.75, 0.625, nan)
    """
    measure = np.asarray(values, dtype=np.float64)
    # the first frame, the three frames between the quarters, and the last; 1e-10: a half is rounded up
    edges = np.round(np.linspace(1, len(measure), 5) + 1e-10).astype(int) - 1
    first_quarter = measure[edges[0] : edges[1] + 1]
    last_quarter = measure[edges[3] : edges[4] + 1]
    recall = float(np.mean(measure > 0.5))
    return known_mean(measure), recall, known_mean(first_quarter) - known_mean(last_quarter)
