"""Findings of a sweep: the protocol chosen here and reported there, the effect of each field, and waterfalls."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from lightning_modules.functional import PropagationProtocol

from ..results.records import Record
from ..results.rendering import markdown_table, percent
from ..results.statistics import Difference, ScoresBySequence, difference, interval, mean_score

ORDERS = ("in this order", "in the opposite order")
"""Of the fields on the way from one protocol to another."""
TOP = 20
"""Protocols in the table."""


@dataclass(frozen=True)
class Selection:
    """A protocol that was chosen on some sequences, and its scores on others, which had no say.

    Attributes:
        best: the protocol.
        selected: its score where it was chosen.
        videos: its scores on the others.
        base: scores of the base protocol on the others; empty where it was not swept.
    """

    best: Record
    selected: float
    videos: ScoresBySequence
    base: ScoresBySequence

    @property
    def reported(self) -> float:
        """Its mean on the others."""
        return mean_score(self.videos)

    @property
    def gain(self) -> Difference | None:
        """Its difference from the base protocol on the others; None without a base, or for one sequence."""
        return difference([self.videos], [self.base]) if self.base else None


class WaterfallStep(NamedTuple):
    """A step of a waterfall: the fields that change, the score after it, and its difference from the one before."""

    label: str
    record: Record
    change: Difference | None


def record_of(scored: Iterable[Record], protocol: PropagationProtocol) -> Record | None:
    """Return the first record of a protocol, at whatever stride its features have; None where there is none."""
    from ..tracking.frame_encoder import at_stride

    return next(
        (one for one in scored if one.protocol["digest"] == at_stride(protocol, _features(one)["stride"]).digest()),
        None,
    )


def _features(record: Record) -> dict[str, Any]:
    return {key: record.run.results.get(key) for key in ("stage", "stride")}


def fields_of(record: Record) -> dict[str, Any]:
    """Return the fields of a record's protocol, with `stage` and `stride` of the features."""
    fields = {key: value for key, value in record.protocol.items() if key not in ("name", "digest", "feature_stride")}
    return fields | _features(record)


def choose(scored: Sequence[Record], base: PropagationProtocol, selection: float = 0.5) -> Selection | None:
    """Choose the protocol that is best on every second sequence or so, and report it on the others.

    Args:
        scored: all over the same sequences.
        base: protocol that the sweep began from.
        selection: fraction of the sequences to choose on, in (0, 1).

    Returns:
        None where there are fewer than two sequences with scores, so that nothing is left to report on.
    """
    names = sorted(set.intersection(*(set(one.videos) for one in scored)))
    chosen_on = [name for k, name in enumerate(names) if int((k + 1) * selection) > int(k * selection)]
    others = [name for name in names if name not in chosen_on]
    if not chosen_on or not others:
        return None
    best = max(scored, key=lambda one: mean_score(_some(one, chosen_on)))
    alike = [one for one in scored if _features(one) == _features(best)]
    same = record_of(alike, base)
    selected = mean_score(_some(best, chosen_on))
    return Selection(best, selected, _some(best, others), _some(same, others) if same else {})


def _some(record: Record, names: Iterable[str]) -> dict[str, Sequence[float]]:
    return {name: record.videos[name] for name in names}


def effects(scored: Sequence[Record], fields: Collection[str]) -> dict[str, dict[str, list[float]]]:
    """Return field → value → scores of the protocols with it, of each field that takes several values.

    The field whose values differ most, in their means, comes first.

    Args:
        scored: records of a sweep.
        fields: to analyse, also `stage` and `stride`. Those of named protocols differ together, so that no effect is
            theirs.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for field in fields:
        for one in sorted(scored, key=lambda one: _in_order(fields_of(one)[field])):
            value = json.dumps(fields_of(one)[field]).strip('"')
            found.setdefault(field, {}).setdefault(value, []).append(one.value)

    def size(field: str) -> float:
        means = [fmean(scores) for scores in found[field].values()]
        return max(means) - min(means)

    return {field: found[field] for field in sorted(found, key=size, reverse=True) if len(found[field]) > 1}


def _in_order(value: Any) -> tuple[bool, bool, float, str]:
    """Return a key that puts numbers first, in ascending order, and None last."""
    number = isinstance(value, int | float)
    return value is None, not number, value if number else 0.0, str(value)


def grid_markdown(scored: Sequence[Record], score: str, fields: Collection[str]) -> str:
    """Return the best protocols and the effects as Markdown, scores in per cent.

    Args:
        scored: records of a sweep, the highest score first.
        score: its key.
        fields: whose effect is shown, see `effects`.
    """
    rows = []
    for one in scored[:TOP]:
        features = [str(value or "") for value in _features(one).values()]
        rows.append([one.protocol["name"], one.protocol["digest"], *features, percent(one.value), _ends(one.interval)])
    head = ["protocol", "digest", "stage", "stride", "all sequences", "95 % interval"]
    parts = [f"## Best {len(rows)} of {len(scored)} protocols, {score}\n\n{markdown_table(head, rows, first_right=4)}"]
    for field, values in effects(scored, fields).items():
        rows = [[value, percent(fmean(scores)), percent(max(scores))] for value, scores in values.items()]
        parts.append(f"## {field}\n\n{markdown_table(['value', 'mean', 'best'], rows)}")
    return "\n".join(parts)


def choice_markdown(choice: Selection) -> str:
    """Return a selection in words."""
    features, ends = _features(choice.best), _ends(interval([choice.videos]))
    text = (
        "## Chosen on some sequences, reported on others\n\n"
        f"{choice.best.protocol['name']}, stage {features['stage']}, stride {features['stride']}:\n"
        f"{percent(choice.selected)} where it was chosen, {percent(choice.reported)}"
        f"{f' ({ends})' if ends else ''} on the others"
    )
    if choice.gain is not None:
        text += f"; over the base protocol {choice.gain.in_points}"
    pooled = "" if choice.best.is_mean else " These are means over the sequences, unlike the score."
    return f"{text}.{pooled}\n"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"


def waterfall(
    scored: Sequence[Record], first: PropagationProtocol, path: Sequence[tuple[str, PropagationProtocol]]
) -> list[WaterfallStep]:
    """Return the steps of a way through protocols, the first protocol included.

    Args:
        scored: records of all its protocols.
        first: where it begins.
        path: see `protocol_path`.
    """
    steps: list[WaterfallStep] = []
    for label, protocol in (("", first), *path):
        found = record_of(scored, protocol)
        if found is None:
            raise ValueError(f"no result of {protocol.name}")
        before = steps[-1].record.videos if steps else {}
        steps.append(
            WaterfallStep(label, found, difference([found.videos], [before]) if found.videos and before else None)
        )
    return steps


def path_markdown(waterfalls: Sequence[Sequence[WaterfallStep]], first: str, second: str, score: str) -> str:
    """Return the steps of waterfalls as Markdown, a table for each order of the fields."""
    parts = []
    for order, steps in zip(ORDERS, waterfalls, strict=True):
        rows = [[first, percent(steps[0].record.value), _ends(steps[0].record.interval)]]
        rows += [[f"+ {step.label}", percent(step.record.value), _change(step)] for step in steps[1:]]
        rows += [[second, percent(steps[-1].record.value), _ends(steps[-1].record.interval)]]
        table = markdown_table(["fields", score, "change, 95 % interval"], rows, first_right=1)
        parts.append(f"## From {first} to {second}, {order}\n\n{table}")
    return "\n".join(parts).rstrip()


def _score(step: WaterfallStep) -> str:
    ends = _ends(step.record.interval)
    return percent(step.record.value) + (f" ({ends})" if ends else "")


def _change(step: WaterfallStep) -> str:
    return step.change.in_points if step.change else ""


def draw_waterfalls(
    waterfalls: Sequence[Sequence[WaterfallStep]], ends: tuple[str, str], score: str, file: Path
) -> None:
    """Draw waterfalls side by side: a bar for the score at each end, and one from score to score for each step.

    Error bars are the 95 % intervals of the paired differences over sequences. The axis is cut to the steps, so the
    intervals at the ends, which are far wider, stand in their labels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 0.45 * sum(len(steps) + 1 for steps in waterfalls), 5.4), layout="constrained")
    panels = figure.subplots(1, len(waterfalls), sharey=True, squeeze=False)[0]
    shown: list[float] = []
    for panel, steps, order in zip(panels, waterfalls, ORDERS, strict=True):
        scores = [100 * step.record.value for step in steps]
        panel.bar([0, len(steps)], [scores[0], scores[-1]], color="C0")
        for place, (before, after) in enumerate(pairwise(scores), start=1):
            panel.bar(place, after - before, bottom=before, color="C2" if after >= before else "C3")
            panel.plot([place - 1.4, place + 0.4], [before, before], color="grey", linewidth=0.8)
            change = steps[place].change
            low, high = (change.low or 0, change.high or 0) if change else (0, 0)
            panel.plot([place, place], [before + 100 * low, before + 100 * high], color="black", linewidth=1)
            shown += [before + 100 * low, before + 100 * high]
        shown += scores
        texts = [f"{end}\n{_score(step)}" for end, step in zip(ends, (steps[0], steps[-1]), strict=True)]
        labels = [texts[0], *(step.label for step in steps[1:]), texts[1]]
        panel.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize="small")
        panel.set_title(order, fontsize="medium")
        panel.grid(axis="y", alpha=0.3)
    margin = 0.1 * (max(shown) - min(shown)) or 1.0
    panels[0].set_ylim(max(0.0, min(shown) - margin), max(shown) + margin)
    panels[0].set_ylabel(f"{score} (%)")
    figure.savefig(file, dpi=150)


def draw_effects(scored: Sequence[Record], score: str, file: Path, fields: Collection[str]) -> bool:
    """Draw each field's effect: every protocol as a dot, the mean of each value as a line.

    Returns:
        Whether there was a field to draw.
    """
    from matplotlib.figure import Figure

    found = effects(scored, fields)
    if not found:
        return False
    figure = Figure(figsize=(3.2 * len(found), 3.4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (field, values) in zip(panels, found.items(), strict=True):
        for place, scores in enumerate(values.values()):
            panel.plot([place] * len(scores), [100 * one for one in scores], ".", color="C0", alpha=0.4)
        panel.plot([100 * fmean(scores) for scores in values.values()], "o-", color="C1")
        panel.set_xticks(range(len(values)), list(values), rotation=45 if max(map(len, values)) > 6 else 0)
        panel.set_title(field)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{score} (%)")
    figure.savefig(file, dpi=150)
    return True
