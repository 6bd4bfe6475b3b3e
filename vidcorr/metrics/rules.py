"""Scoring rules of the mask data sets, with their sources; a new data set is a class and an entry here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .declared import Score
from .outlines import BOUND, Outline, boundary_score, jaccard, shared_pixels, sobel_outline
from .scoring import AnnotatedVideo, DavisRules, ObjectValues, Pair, Plan, Rules, Values, column, mean

STEP = 5  # LVOS visits every fifth frame of an object's range
NEW_BOUND = 0.1  # tolerance of F_new as a fraction of the square root of the object's area


class YoutubeVosRules(Rules):
    """J and F of objects that may enter with any annotated frame; that frame itself does not count.

    With a meta.json the scores are averaged by category: J and F of seen and of unseen categories, and the mean of the
    four scores.
    """

    pooled = True
    source = (
        "Xu et al., YouTube-VOS (arXiv:1809.03327), section 5; the server's code is not published: that the last frame "
        "counts is inferred"
    )
    inner_only = False

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Return object → annotated frames after the frame in which the object starts.

        Example:
            >>> video = AnnotatedVideo("bike", range(4), [{1}, {1}, {1, 2}, {2}].__getitem__)
            >>> YoutubeVosRules("youtube-vos").plan(video)
            {1: [1, 2, 3], 2: [3]}
            >>> YoutubeVosRules("youtube-vos").plan(replace(video, starts={2: 1, 1: 0, 7: 3}))  # as the data set says
            {1: [1, 2, 3], 2: [2, 3]}
        """
        starts = dict(video.starts or {})
        if video.starts is None:  # the data set does not say it: an object starts in the first frame that shows it
            for t in video.frames:
                for number in set(video.shown(t)) - {255}:  # 255 is void
                    starts.setdefault(number, t)
        plan: dict[int, Sequence[int | None]] = {}
        for number, start in sorted(starts.items()):
            later = [t for t in video.frames if t > start]
            if later:  # an object that enters with the last frame is not scored
                plan[number] = later
        return plan

    def scores(self, objects: ObjectValues) -> Values:
        """Return `Overall`, and J and F of seen and of unseen categories; without metadata the means over all objects.

        Raises:
            ValueError: if the metadata name no category of an object.

        Example:
            >>> from vidcorr.metrics.scoring import Metadata
            >>> objects = {"1": {"category": "dog"}, "2": {"category": "ape"}}
            >>> metadata = Metadata({"v": {"objects": objects}}, unseen=["ape"])
            >>> rules = YoutubeVosRules("youtube-vos", read_metadata=lambda: metadata)
            >>> rules.scores({("v", 1): {"J-Mean": 0.5, "F-Mean": 1.0}, ("v", 2): {"J-Mean": 0.25, "F-Mean": 0.25}})
            {'Overall': 0.5, 'J-Seen': 0.5, 'F-Seen': 1.0, 'J-Unseen': 0.25, 'F-Unseen': 0.25}
        """
        videos, unseen, _ = self.metadata
        if not videos:
            return super().scores(objects)
        groups: dict[str, list[Values]] = {"Seen": [], "Unseen": []}
        for (video, number), values in objects.items():
            of_video = videos.get(video, {}).get("objects") or {}
            category = of_video.get(str(number), {}).get("category")
            if not category:
                raise ValueError(f"gives no category for object {number} of {video}, which is in the masks")
            kind = "Unseen" if category in unseen else "Seen"
            groups[kind].append(values)
        return scores_of_categories(groups)


def scores_of_categories(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Values:
    """Return YouTube-VOS's scores: J and F of each group with objects, and first their mean, `Overall`.

    Args:
        groups: "Seen" and "Unseen" → values of the objects.

    Example:
        >>> groups = {"Seen": [{"J-Mean": 0.5, "F-Mean": 0.75}], "Unseen": [{"J-Mean": 0.25, "F-Mean": 0.5}]}
        >>> scores_of_categories(groups)
        {'Overall': 0.5, 'J-Seen': 0.5, 'F-Seen': 0.75, 'J-Unseen': 0.25, 'F-Unseen': 0.5}
    """
    scores: Values = {}
    for kind, group in groups.items():
        if group:
            scores[f"J-{kind}"] = mean(column(group, "J-Mean"))
            scores[f"F-{kind}"] = mean(column(group, "F-Mean"))
    return {"Overall": mean(np.array(list(scores.values()))), **scores}


class VostRules(Rules):
    """J alone, over all annotated frames but the first and the last, and again over the last quarter of these frames.

    Objects are the ids from 1 to the largest of the first annotated frame; other ids never count.
    """

    source = "TRI-ML/VOST @ fe27457"
    tolerates_gaps = True
    unranked = (Score("J-Decay", "neither", -1.0), Score("J_last-Decay", "neither", -1.0))
    measures = ("J",)
    objects_enter = False

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        """Return J."""
        return (jaccard(prediction, target),)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return mean, recall and decay of J over all frames, and as `J_last-…` over the last quarter."""
        values = super().summarise(frames)
        last_quarter = frames[math.floor(0.75 * len(frames)) :]  # rounded up to whole frames
        for name, value in super().summarise(last_quarter).items():
            values[name.replace("J", "J_last")] = value
        return values


class LvosRules(Rules):
    """J, F and their variation V over the object's range of frames, averaged over seen and unseen videos.

    Objects and ranges come from the metadata file. Every fifth frame from `start` up to and without `end` is visited.
    `frame_nums` frames are counted; those that are not visited come last, and count 0. The first and the last of the
    counted frames are left out. Frames without the object count.

    Attributes:
        drops_ends: leave out the first and the last counted frame.
    """

    pooled = True
    source = "LingyiHongfd/lvos-evaluation @ 25cb02d; lvos-2023: @ 9ff733c"
    needs_meta = True
    has_unseen_videos = True
    unranked = tuple(Score(name, "neither") for name in ("V-Mean", "V-seen-Mean", "V-unseen-Mean"))
    inner_only = False
    frames_in_words = "every fifth of an object's range, without its ends"
    drops_ends: ClassVar[bool] = True

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Return object → frames of its range in the metadata; None: a frame that is counted but never visited.

        Raises:
            KeyError: for metadata that lack the video.
            ValueError: if a range has too few frames, or a visited frame has no mask.

        Example:
            >>> from vidcorr.metrics.scoring import Metadata
            >>> frame_range = {"start": "0", "end": "16", "frame_nums": "5"}  # frames 0, 5, 10 and 15 are visited
            >>> metadata = Metadata({"v": {"objects": {"1": {"frame_range": frame_range}}}})
            >>> names = {f"{5 * t:08d}": t for t in range(4)}
            >>> video = AnnotatedVideo("v", range(4), lambda t: {1}, names=names)
            >>> LvosRules("lvos", read_metadata=lambda: metadata).plan(video)
            {1: [1, 2, 3]}
            >>> Lvos2023Rules("lvos-2023", read_metadata=lambda: metadata).plan(video)
            {1: [0, 1, 2, 3, None]}
            >>> frame_range["frame_nums"] = "3"
            >>> LvosRules("lvos", read_metadata=lambda: metadata).plan(video)
            Traceback (most recent call last):
            ValueError: object 1: frame_nums is 3, but its range needs 4 frames or more
            >>> frame_range |= {"start": "16", "frame_nums": "1"}  # none is visited
            >>> LvosRules("lvos", read_metadata=lambda: metadata).plan(video)
            Traceback (most recent call last):
            ValueError: object 1: frame_nums is 1, but its range needs 2 frames or more
            >>> Lvos2023Rules("lvos-2023", read_metadata=lambda: metadata).plan(video)
            {1: [None]}
        """
        plan: dict[int, Sequence[int | None]] = {}
        for number, entry in self.metadata.videos[video.name]["objects"].items():
            frame_range = entry["frame_range"]
            start = int(frame_range["start"])
            end = int(frame_range["end"])
            count = int(frame_range["frame_nums"])  # frames that are counted, visited or not
            visited = [f"{frame:08d}" for frame in range(start, end, STEP)]  # names of frames
            fewest = max(len(visited), 2 if self.drops_ends else 0)  # all visited frames, and both ends to drop
            if count < fewest:
                raise ValueError(f"object {number}: frame_nums is {count}, but its range needs {fewest} frames or more")
            never_visited = [None] * (count - len(visited))
            places = [*visited, *never_visited]  # `count` places
            if self.drops_ends:  # the last place may be a frame that is never visited: the last visited one then stays
                places = places[1:-1]
            plan[int(number)] = [name if name is None else _index_of_frame(video, name) for name in places]
        return plan

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means of J and F, and V: the standard deviation of their mean over the frames.

        Example:
            >>> values = LvosRules("lvos").summarise(np.array([[0.2, 0.4], [1.0, 0.8], [0.3, 0.5]]))
            >>> {name: round(value, 6) for name, value in values.items()}
            {'J-Mean': 0.5, 'F-Mean': 0.566667, 'V-Mean': 0.262488}
            >>> LvosRules("lvos").summarise(np.zeros((0, 2)))  # of no frame
            {'J-Mean': nan, 'F-Mean': nan, 'V-Mean': nan}
        """
        j_and_f = frames.mean(axis=1)
        variance = mean((j_and_f - mean(j_and_f)) ** 2)
        variation = math.sqrt(round(variance, 4))  # rounded as by the official code
        return {"J-Mean": mean(frames[:, 0]), "F-Mean": mean(frames[:, 1]), "V-Mean": variation}

    def scores(self, objects: ObjectValues) -> Values:
        """Return J, F and V as means over the objects of seen and of unseen videos, and the mean of both.

        A mean over no objects is NaN, and so are the means with it.
        `J&F-Mean` is the mean of the four means of J and F.
        """
        groups: dict[str, list[Values]] = {"seen": [], "unseen": []}
        for (video, _), values in objects.items():
            kind = "unseen" if video in self.metadata.unseen else "seen"
            groups[kind].append(values)
        scores: Values = {}
        for measure in "JFV":
            for kind, group in groups.items():
                scores[f"{measure}-{kind}-Mean"] = mean(column(group, f"{measure}-Mean"))
            of_seen = scores[f"{measure}-seen-Mean"]
            of_unseen = scores[f"{measure}-unseen-Mean"]
            scores[f"{measure}-Mean"] = (of_seen + of_unseen) / 2
        of_j_and_f: list[float] = []
        for measure in "JF":
            of_j_and_f += [scores[f"{measure}-{kind}-Mean"] for kind in groups]
        return {"J&F-Mean": float(np.mean(of_j_and_f)), **scores}


class Lvos2023Rules(LvosRules):
    """The rules of LVOS's code before May 2024: both ends count, and a last place that is never visited counts 0."""

    frames_in_words = "every fifth of an object's range, its first too"
    drops_ends = False


def _index_of_frame(video: AnnotatedVideo, name: str) -> int:
    """Return the index of a frame that the metadata name; raise `ValueError` if it has no mask."""
    if name not in video.names:
        raise ValueError(f"the metadata counts frame {name}, which has no mask")
    return video.names[name]


class MoseV2Rules(Rules):
    """J and F of MOSEv2, a tolerance of F that follows the object's size, and the frames of absence and of return.

    J is (intersection + 1) / (union + 1). The tolerance of F_new is 0.1 times the root of the object's area, if this is
    less than DAVIS's tolerance, which F has. Otherwise, and without the object, F and F_new both have DAVIS's tolerance
    unrounded, with a disk that is not centred on the pixel.
    """

    pooled = True
    source = "henghuiding/MOSE-api @ 241977a, MOSEv2/sam2_rcms/tools"
    measures = ("J", "F_new", "F", "present")
    needs_meta = True
    missing_video = "counted as 0"

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Plan every object of the metadata file, for all frames but the first and the last.

        Example:
            >>> from vidcorr.metrics.scoring import Metadata
            >>> metadata = Metadata({"v": {"length": 4, "objects": {"1": {}}}})
            >>> rules = MoseV2Rules("mose-v2", read_metadata=lambda: metadata)
            >>> rules.plan(AnnotatedVideo("v", range(4), lambda t: {1}))
            {1: [1, 2]}
            >>> rules.plan(AnnotatedVideo("v", range(1), lambda t: {1}))  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            ValueError: its length is 4 frames, but the annotation has 1, the first alone, ...
        """
        entry = self.metadata.videos[video.name]
        masks = len(video.frames)
        if entry.get("length", masks) != masks:
            alone = ", the first alone, as in a set whose truth only its server has" if masks == 1 else ""
            raise ValueError(f"its length is {entry['length']} frames, but the annotation has {masks}{alone}")
        return {int(number): self.counted(video) for number in entry["objects"]}

    def required(self, video: AnnotatedVideo, plan: Plan) -> list[int]:
        """Return all frames but the last: in the official code a missing frame shifts the frames after it."""
        return list(video.frames[:-1])

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        """Return J, F_new, F, and 1 if the annotation has the object."""
        shared = shared_pixels(prediction.mask, prediction, target.mask, target)
        region = (shared + 1) / (prediction.area + target.area - shared + 1)  # both plus 1, as MOSEv2 counts
        limit = BOUND * float(np.linalg.norm(target.shape))  # DAVIS's tolerance, before it is rounded up
        radius = math.ceil(NEW_BOUND * math.sqrt(target.area))  # 0.1 times the root of the area, whole pixels
        if target.area and radius < limit:  # a small object: F_new is stricter than F
            new = _boundary(prediction, target, radius)
            old = _boundary(prediction, target, math.ceil(limit))
        else:
            new = old = _boundary(prediction, target, limit)  # unrounded, as in the official code
        return region, new, old, float(target.area > 0)

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means over all frames, and over runs of frames in which the object is absent, or is back.

        `disappear_…` is the mean of the means of the runs without the object, `reappear_…` of the runs with the object
        after such a run.

        Example:
            >>> values = MoseV2Rules("mose-v2").summarise(np.array([[0.5, 0.4, 0.3, 1.0]]))  # of a frame
            >>> values["J-Mean"], values["F_new-Mean"], values["F-Mean"], values["disappear_J-Mean"]
            (0.5, 0.4, 0.3, nan)
        """
        present = frames[:, 3] > 0  # J, F_new, F, present
        starts = np.flatnonzero(np.diff(present)) + 1  # frames in which the object leaves or comes back
        runs: dict[str, list[NDArray[np.float64]]] = {"disappear": [], "reappear": []}
        for run in np.split(frames, starts)[1:]:  # in the first run the object has neither left nor returned
            kind = "reappear" if run[0, 3] > 0 else "disappear"
            runs[kind].append(run)
        values: Values = {}
        for k, name in enumerate(("J", "F_new", "F")):
            total = float(frames[:, k].sum())
            values[f"{name}-Mean"] = total / max(len(frames), 1)  # 0 without a frame
        for kind, chosen in runs.items():
            for k, name in enumerate(("J", "F_new")):
                means = [np.mean(run[:, k]) for run in chosen]
                values[f"{kind}_{name}-Mean"] = mean(np.array(means))
        return values

    def scores(self, objects: ObjectValues) -> Values:
        """Return the means over all objects; `disappear_…` and `reappear_…` are means over the objects with such runs.

        J&F is the mean of the means of J and F, for each kind of F.
        """

        def over_objects(name: str) -> float:
            """Return the mean of a value over the objects for which it is not NaN."""
            values = column(objects.values(), f"{name}-Mean")
            return mean(values[~np.isnan(values)])

        scores = {name: over_objects(name) for name in ("J", "F", "F_new")}
        for prefix, name in (("", "F"), ("", "F_new"), ("disappear_", "F_new"), ("reappear_", "F_new")):
            region = over_objects(f"{prefix}J")
            boundary = over_objects(f"{prefix}{name}")
            scores[f"{prefix}J&{name}"] = (region + boundary) / 2
        return scores


def _boundary(prediction: Outline, target: Outline, radius: float) -> float:
    """Return F of two masks with `radius` pixels as the tolerance, in place of the outlines' own."""
    return boundary_score(replace(prediction, radius=radius), replace(target, radius=radius))


class NafRules(Rules):
    """DAVIS's measures by the scorer of NAF and RaysUp: another boundary, and the objects of the whole video.

    J is DAVIS's. The boundary is the pixels with a non-zero Sobel gradient of the mask: two pixels thick, and none
    along the edge of the picture. If a mask has no boundary (is empty or full), F is 0. The objects are 1 to the
    largest id of all masks of the video; 255 is an ordinary id. A prediction with a larger id is refused here; the code
    silently leaves the video out, as it does a video without predictions.
    """

    has_void = False
    source = "valeoai/NAF @ ad4e24d, evaluation/eval_video_seg.py; MAP-RaysUp/RaysUp @ a320000 alike"
    refuses_unknown = True

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Plan the ids from 1 to the largest in any mask of the video, for all frames but the first and the last."""
        objects = set().union(*map(video.shown, video.frames))  # ids in the masks; those below the largest count too
        return self.plan_up_to(video, max(objects, default=0))

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        """Return J, and F of the boundaries by Sobel's gradient."""
        region = jaccard(prediction, target)
        prediction_edge = sobel_outline(prediction)
        target_edge = sobel_outline(target)
        if not prediction_edge.length or not target_edge.length:  # two empty boundaries too, which DAVIS gives 1
            return region, 0.0
        return region, boundary_score(prediction_edge, target_edge)


class VosBenchmarkRules(Rules):
    """J and F of every id in the annotations of the scored frames, from the id's first frame on.

    The first and the last annotated frame are not scored. An id's first frame is that in which annotation or prediction
    shows it, and counts: so a false mask before a late object makes the frames in between count too. 255 is an ordinary
    id.
    """

    pooled = True
    has_void = False
    source = "hkchengrex/vos-benchmark @ 0c21008 with its defaults, as used for MOSE v1"
    measures = ("J", "F", "present")

    def plan(self, video: AnnotatedVideo) -> Plan:
        """Plan each id that any scored frame shows, for all scored frames; `summarise` drops those before it appears.

        Example:
            >>> video = AnnotatedVideo("bike", range(4), [{1}, {1, 255}, {2}, {3}].__getitem__)
            >>> VosBenchmarkRules("vos-benchmark").plan(video)
            {1: [1, 2], 2: [1, 2], 255: [1, 2]}
        """
        frames = self.counted(video)
        numbers = set().union(*map(video.shown, frames))
        return dict.fromkeys(sorted(numbers), frames)

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        """Return J, F, and 1 if either mask has a pixel."""
        return *super().measure(prediction, target, before), float(bool(prediction.area or target.area))

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means of J and F over the frames from the first one that has a pixel in either mask.

        Without such a frame they are means over all frames.
        """
        first = int(np.argmax(frames[:, 2] > 0))  # columns: J, F, present; 0 if no frame has a pixel
        region = float(np.mean(frames[first:, 0]))
        boundary = float(np.mean(frames[first:, 1]))
        return {"J-Mean": region, "F-Mean": boundary}

    def scores(self, objects: ObjectValues) -> Values:
        """Return the means over all objects, as `J&F`, `J` and `F`."""
        scores = super().scores(objects)
        return {name.removesuffix("-Mean"): score for name, score in scores.items()}


class SaVRules(VosBenchmarkRules):
    """The rules of vos-benchmark with a folder per object; the annotated frames of the object count.

    Objects may overlap. The official code also takes an image per frame with an id per object, by the same rules.
    """

    source = "facebookresearch/sam2 @ 2b90b9f, sav_dataset/sav_evaluator.py"
    folder_per_object = True


KNOWN_RULES = (
    DavisRules("davis-2017"),
    DavisRules("davis-2016", merged=True),
    YoutubeVosRules("youtube-vos"),
    LvosRules("lvos"),
    Lvos2023Rules("lvos-2023"),
    VostRules("vost"),
    SaVRules("sa-v"),
    MoseV2Rules("mose-v2"),
    VosBenchmarkRules("vos-benchmark"),
    NafRules("naf"),
)
RULES: dict[str, Rules] = {rules.name: rules for rules in KNOWN_RULES}  # to which rules of yours may be added
