"""Chart of published scores against the masks used in training, the subject of Liir's Figure 1, as a static drawing.

The points are Table 1 of Liir (arXiv 2203.14333), which prints the data of each method and its number of masks.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from math import log10

WIDTH = 760
HEIGHT = 470
LEFT, RIGHT, TOP, BOTTOM = 46, 742, 14, 418
"""Edges of the plot, in pixels of the drawing."""
WITHOUT_MASKS = 90
"""Horizontal position of the methods that use no masks."""
FIRST_DECADE = 4
LAST_DECADE = 6
DECADES_FROM, DECADES_TO = 330, 700
"""Horizontal positions of 10 ** FIRST_DECADE and 10 ** LAST_DECADE masks."""
LOWEST = 0.30
HIGHEST = 0.85
LABEL_HEIGHT = 14
LAST_LABEL_RIGHT = 540
"""Points beyond this position have their label on the left."""


@dataclass(frozen=True)
class AnnotatedScore:
    """A method of the chart.

    Attributes:
        name: method.
        network: architecture.
        training: "videos" or "images" without labels, "image labels", or "masks".
        masks: number of annotated masks in its training.
        score: J&F-Mean on DAVIS 2017 val, a fraction.
    """

    name: str
    network: str
    training: str
    masks: int
    score: float


def annotated_scores() -> list[AnnotatedScore]:
    """Return the methods of Liir's Table 1, from annotations.csv."""
    text = (files(__package__) / "annotations.csv").read_text("utf-8")
    scores = []
    for row in csv.DictReader(text.splitlines()):
        masks = int(row["masks"])
        score = float(row["score"])
        scores.append(AnnotatedScore(row["name"], row["network"], row["training"], masks, score))
    return scores


def annotations_chart(scores: Sequence[AnnotatedScore]) -> str:
    """Return the chart as an SVG element: the number of masks across, on a logarithmic axis after zero; J&F upwards.

    Args:
        scores: methods, with 10,000 to 1,000,000 masks or none.
    """
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="J&amp;F-Mean over masks in training">']
    for tick in range(30, 90, 10):
        y = _up(tick / 100)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    ticks = {"none": float(WITHOUT_MASKS)}
    for decade in range(FIRST_DECADE, LAST_DECADE + 1):
        ticks[f"{10**decade:,}"] = _across(10**decade)
    for label, x in ticks.items():
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{label}</text>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{BOTTOM + 42}" text-anchor="middle">annotated masks in the training</text>')
    positions: dict[int, list[AnnotatedScore]] = {}
    for score in scores:
        positions.setdefault(score.masks, []).append(score)
    for of_position in positions.values():
        parts += _points(of_position)
    parts.append("</svg>")
    return "".join(parts)


def _points(scores: Sequence[AnnotatedScore]) -> list[str]:
    """Return points at one horizontal position with their labels, pushed apart from the best score downwards."""
    parts = []
    free_from = float(TOP)
    for score in sorted(scores, key=_best_first):
        x = _across(score.masks)
        y = _up(score.score)
        label_y = max(y, free_from)
        free_from = label_y + LABEL_HEIGHT
        kind = score.training.replace(" ", "-")
        mark = "liir" if score.name == "Liir" else escape(kind)
        said = escape(f"{score.name}, {score.network}: {100 * score.score:.1f}")
        side = 1
        anchor = "start"
        if x > LAST_LABEL_RIGHT:
            side = -1
            anchor = "end"
        line_end = x + side * 26
        label_x = x + side * 30
        parts.append(f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" x2="{line_end:.1f}" y2="{label_y:.1f}"/>')
        parts.append(f'<circle class="{mark}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{said}</title></circle>')
        place = f'x="{label_x:.1f}" y="{label_y + 4:.1f}" text-anchor="{anchor}"'
        parts.append(f'<text class="{mark}" {place}>{said}</text>')
    return parts


def _best_first(score: AnnotatedScore) -> float:
    return -score.score


def _up(score: float) -> float:
    """Return the vertical position of a score."""
    return TOP + (HIGHEST - score) / (HIGHEST - LOWEST) * (BOTTOM - TOP)


def _across(masks: int) -> float:
    """Return the horizontal position of a number of masks."""
    if masks == 0:
        return float(WITHOUT_MASKS)
    decades = (log10(masks) - FIRST_DECADE) / (LAST_DECADE - FIRST_DECADE)
    return DECADES_FROM + decades * (DECADES_TO - DECADES_FROM)
