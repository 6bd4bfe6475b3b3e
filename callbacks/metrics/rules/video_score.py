"""The objects of one video scored by the rules of a data set, frame after frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..outlines import Outline, object_outlines
from .base import Ids, Object, Plan, Rules, Values


class VideoScore:
    """The measures of the objects of one video, without keeping its masks.

    Args:
        rules: those of the data set.
        plan: object → names of the frames that count, see `Rules.plan`.

    Attributes:
        objects: name of a frame → the objects that count in it.
        measured: (object, name of a frame) → `Rules.measures`.

    Example:
        >>> from callbacks.metrics.rules import RULES
        >>> score = VideoScore(RULES["davis-2017"], {1: ["00001"]})
        >>> ids = np.ones((4, 4), np.uint8)
        >>> score.add("00001", ids, score.outlines("00001", ids))
        >>> score.values()[1]["J-Mean"]
        1.0
    """

    def __init__(self, rules: Rules, plan: Plan) -> None:
        self.rules, self.plan = rules, plan
        self.objects: dict[str, list[Object]] = {}
        for number, stems in plan.items():
            for stem in stems:
                if stem is not None:
                    self.objects.setdefault(stem, []).append(number)
        self.measured: dict[tuple[Object, str | None], tuple[float, ...]] = {}

    def outlines(self, stem: str, ids: Ids) -> dict[int, Outline]:
        """Find the outlines of a frame's objects in ids `(H, W)`, predicted or true."""
        return object_outlines(self.rules.ids(ids), [int(number) for number in self.objects[stem]])

    def add(self, stem: str, prediction: Ids, target: Mapping[int, Outline]) -> None:
        """Score a frame that counts: predicted ids `(H, W)` against the `outlines` of the truth."""
        predicted = self.outlines(stem, prediction)
        for number in self.objects[stem]:
            self.measured[number, stem] = self.rules.measure(predicted[int(number)], target[int(number)])

    def values(self) -> dict[Object, Values]:
        """Return the values of each object; a frame that was never added counts 0."""
        nothing = (0.0,) * len(self.rules.measures)
        values: dict[Object, Values] = {}
        for number, stems in self.plan.items():
            rows = [self.measured.get((number, stem), nothing) for stem in stems]
            values[number] = self.rules.summarise(np.array(rows, dtype=np.float64).reshape(-1, len(nothing)))
        return values

    def frame_means(self, measure: str) -> dict[str, float]:
        """Return name of a frame → mean of a measure over the objects that count in it."""
        column = self.rules.measures.index(measure)
        return {
            stem: float(np.mean([self.measured[number, stem][column] for number in numbers]))
            for stem, numbers in sorted(self.objects.items())
        }
