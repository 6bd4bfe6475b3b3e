"""Scoring rules of the mask data sets, with their sources; a new data set is a class and an entry here."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .outlines import Outline
from .scoring import AnnotatedVideo, DavisRules, ObjectValues, Pair, Plan, Rules, Values, column, mean


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
        """Return object → annotated frames after the frame in which the object starts."""
        starts = dict(video.starts or {})
        # the data set does not say it: an object starts in the first frame that shows it
        if video.starts is None:
            for t in video.frames:
                for number in set(video.shown(t)) - {255}:
                    starts.setdefault(number, t)
        plan: dict[int, Sequence[int]] = {}
        for number, start in sorted(starts.items()):
            later = [t for t in video.frames if t > start]
            if later:
                plan[number] = later
        return plan

    def scores(self, objects: ObjectValues) -> Values:
        """Return `Overall`, and J and F of seen and unseen categories; without metadata the means over all objects."""
        videos, unseen, _ = self.metadata
        if not videos:
            return super().scores(objects)
        groups: dict[str, list[Values]] = {"Seen": [], "Unseen": []}
        for (video, number), values in objects.items():
            objects_entry = videos.get(video, {}).get("objects") or {}
            category = objects_entry.get(str(number), {}).get("category")
            if not category:
                raise ValueError(f"gives no category for object {number} of {video}, which is in the masks")
            kind = "Unseen" if category in unseen else "Seen"
            groups[kind].append(values)
        return scores_of_categories(groups)


def scores_of_categories(groups: Mapping[str, Sequence[Mapping[str, object]]]) -> Values:
    """Return YouTube-VOS's scores: J and F of each group with objects, and first their mean, `Overall`.

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
        """Plan each id that a scored frame shows, for all scored frames; `summarise` drops those before it appears."""
        frames = self.counted(video)
        numbers = set().union(*map(video.shown, frames))
        return dict.fromkeys(sorted(numbers), frames)

    def measure(self, prediction: Outline, target: Outline, before: Pair | None) -> tuple[float, ...]:
        return *super().measure(prediction, target, before), float(bool(prediction.area or target.area))

    def summarise(self, frames: NDArray[np.float64]) -> Values:
        """Return the means of J and F over the frames from the first one that has a pixel in either mask."""
        # columns: J, F, present; 0 if no frame has a pixel
        first = int(np.argmax(frames[:, 2] > 0))
        region = float(np.mean(frames[first:, 0]))
        boundary = float(np.mean(frames[first:, 1]))
        return {"J-Mean": region, "F-Mean": boundary}

    def scores(self, objects: ObjectValues) -> Values:
        scores = super().scores(objects)
        return {name.removesuffix("-Mean"): score for name, score in scores.items()}


KNOWN_RULES = (
    DavisRules("davis-2017"),
    DavisRules("davis-2016", merged=True),
    YoutubeVosRules("youtube-vos"),
    VosBenchmarkRules("vos-benchmark"),
)
# to which rules of yours may be added
RULES: dict[str, Rules] = {rules.name: rules for rules in KNOWN_RULES}
