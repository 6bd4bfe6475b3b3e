"""Findings of a sweep: a protocol selected on some sequences, effects of fields, and steps between two protocols."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..functional import PropagationProtocol
from ..results.records import Record
from ..results.rendering import markdown_table, percent
from ..results.statistics import Difference, Sample, ScoresBySequence, difference, from_best, interval, mean_score
from ..videos.files import save_figure
from .job import Job

ORDERS = ("in this order", "in the opposite order")
"""Orders in which fields change from a protocol to another."""
TOP = 20
"""Number of protocols in the table."""
Scored = Mapping[Job, Record]
"""Jobs of a sweep with their scores, highest first."""
Effects = dict[str, dict[str, list[float]]]
"""Field → value → scores of the protocols with this value."""


class Selection(NamedTuple):
    """A protocol selected on some sequences, and its scores on the other sequences.

    Attributes:
        best: record of the selected protocol.
        selected: its score on the selection sequences.
        videos: its scores on the other sequences.
        base: scores of the base protocol on the other sequences; empty if it was not scored.
    """

    best: Record
    selected: float
    videos: ScoresBySequence
    base: ScoresBySequence


class Step(NamedTuple):
    """A step between two protocols: the changed fields, the score after it, and the difference from the step before."""

    fields: str
    record: Record
    change: Difference | None


def record_of(scored: Scored, protocol: PropagationProtocol) -> Record | None:
    """Return the first record of a protocol, or None."""
    return next((record for job, record in scored.items() if job.protocol == protocol), None)


def features_of(record: Record) -> dict[str, Any]:
    """Return stage and stride of the features of a record."""
    return {"stage": record.stage.layer or None, "stride": record.stage.stride}


def choose(scored: Scored, base: PropagationProtocol, selection: float = 0.5) -> Selection | None:
    """Select the best protocol on some of the sequences, and score it on the others.

    Args:
        scored: scores over the same sequences.
        base: base protocol of the sweep.
        selection: fraction of the sequences for the selection, in (0, 1).

    Returns:
        The selection; None if either part has no sequences.
    """
    names = sorted(set.intersection(*(set(record.videos) for record in scored.values())))
    chosen_on = [name for k, name in enumerate(names) if int((k + 1) * selection) > int(k * selection)]
    others = [name for name in names if name not in chosen_on]
    if not chosen_on or not others:
        return None

    def some(record: Record, names: Iterable[str]) -> ScoresBySequence:
        return {name: record.videos[name] for name in names}

    means = ((mean_score(some(record, chosen_on)), record) for record in scored.values())
    selected, best = min(means, key=lambda pair: from_best(pair[0]))
    same_features = {job: record for job, record in scored.items() if features_of(record) == features_of(best)}
    same = record_of(same_features, base)
    return Selection(best, selected, some(best, others), some(same, others) if same else {})


def effects(scored: Scored, fields: Collection[str]) -> Effects:
    """Return the effects of fields with several values, the largest effect first.

    The effect of a field is the largest minus the smallest mean score over its values.

    Args:
        scored: scores of a grid. Between named protocols several fields differ at a time, so they show no effects.
        fields: fields to analyse, `stage` and `stride` included.
    """
    settings = [(job.protocol.fields() | features_of(record), record.value) for job, record in scored.items()]
    values_of: Effects = {}
    for field in fields:
        values = [(setting[field], score) for setting, score in settings]
        # numbers, then sizes, then None
        for value, score in sorted(values, key=lambda pair: (pair[0] is None, isinstance(pair[0], list), pair[0])):
            values_of.setdefault(field, {}).setdefault(json.dumps(value).strip('"'), []).append(score)

    def size(field: str) -> float:
        means = [fmean(scores) for scores in values_of[field].values()]
        return max(means) - min(means)

    return {field: values_of[field] for field in sorted(values_of, key=size, reverse=True) if len(values_of[field]) > 1}


def grid_markdown(scored: Scored, score: str, effects: Effects) -> str:
    """Return the best protocols and the effects as Markdown, with scores in per cent.

    Args:
        scored: scores of a sweep.
        score: key of the score.
        effects: see the function `effects`.
    """
    rows = []
    for job, record in list(scored.items())[:TOP]:
        features = [str(value or "") for value in features_of(record).values()]
        scores = [percent(record.value), _ends(record.result.interval(record.key))]
        rows.append([job.protocol.name, job.protocol.digest(), *features, *scores])
    head = ["protocol", "digest", "stage", "stride", "all sequences", "95 % interval"]
    parts = [f"## Best {len(rows)} of {len(scored)} protocols, {score}\n\n{markdown_table(head, rows, first_right=4)}"]
    for field, values in effects.items():
        rows = [[value, percent(fmean(scores)), percent(max(scores))] for value, scores in values.items()]
        parts.append(f"## {field}\n\n{markdown_table(['value', 'mean', 'best'], rows)}")
    return "\n".join(parts)


def choice_markdown(choice: Selection) -> str:
    """Return a selection as a Markdown section."""
    features, ends = features_of(choice.best), _ends(interval([Sample.of_means(choice.videos)]))
    gain = None
    if choice.base:
        gain = difference([Sample.of_means(choice.videos)], [Sample.of_means(choice.base)])
    text = (
        "## Chosen on some sequences, reported on others\n\n"
        f"{choice.best.stage.protocol.shared_name}, stage {features['stage']}, stride {features['stride']}:\n"
        f"{percent(choice.selected)} where it was chosen, {percent(mean_score(choice.videos))}"
        f"{f' ({ends})' if ends else ''} on the others"
    )
    if gain is not None:
        text += f"; over the base protocol {gain.in_points}"
    is_pooled = choice.best.key in choice.best.result.without
    pooled = " These are means over the sequences, unlike the score." if is_pooled else ""
    return f"{text}.{pooled}\n"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"


def walk(scored: Scored, first: PropagationProtocol, path: Sequence[tuple[str, PropagationProtocol]]) -> list[Step]:
    """Return the steps along a path of protocols; the first protocol has no change.

    Args:
        scored: scores of all protocols of the path.
        first: first protocol.
        path: see `protocol_path`.
    """
    records = {job.protocol: record for job, record in scored.items()}
    steps = [Step("", records[first], None)]
    for fields, protocol in path:
        record, before = records[protocol], steps[-1].record
        after, former = (each.result.sample(each.key) for each in (record, before))
        steps.append(Step(fields, record, difference([after], [former]) if after and former else None))
    return steps


def walks_markdown(walks: Sequence[Sequence[Step]], ends: tuple[str, str], score: str) -> str:
    """Return the steps between two protocols as Markdown, with a table per order of the fields."""
    parts = []
    for order, steps in zip(ORDERS, walks, strict=True):
        first, last = ([end, *_score(step)] for end, step in zip(ends, (steps[0], steps[-1]), strict=True))
        rows = [[f"+ {step.fields}", _score(step)[0], step.change.in_points if step.change else ""] for step in steps]
        table = markdown_table(["fields", score, "change, 95 % interval"], [first, *rows[1:], last], first_right=1)
        parts.append(f"## From {ends[0]} to {ends[1]}, {order}\n\n{table}")
    return "\n".join(parts).rstrip()


def _score(step: Step) -> list[str]:
    return [percent(step.record.value), _ends(step.record.result.interval(step.record.key))]


def draw_walks(walks: Sequence[Sequence[Step]], ends: tuple[str, str], score: str, file: Path) -> None:
    """Draw the scores along the steps, with a panel per order of the fields.

    A vertical bar at a step is the 95 % interval of its paired difference over sequences.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 0.45 * sum(map(len, walks)), 5.4), layout="constrained")
    panels = figure.subplots(1, len(walks), sharey=True, squeeze=False)[0]
    for panel, steps, order in zip(panels, walks, ORDERS, strict=True):
        scores = [100 * step.record.value for step in steps]
        panel.plot(scores, "o-")
        for place, (before, step) in enumerate(zip(scores, steps[1:], strict=False), start=1):
            if step.change is not None and step.change.low is not None and step.change.high is not None:
                ends_of_change = [before + 100 * step.change.low, before + 100 * step.change.high]
                panel.plot([place, place], ends_of_change, color="black", linewidth=1)
        labels = [ends[0], *(f"+ {step.fields}" for step in steps[1:])]
        panel.set_xticks(range(len(steps)), labels, rotation=60, ha="right", fontsize="small")
        panel.set_title(f"to {ends[1]}, {order}", fontsize="medium")
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(f"{score} (%)")
    save_figure(figure, file)


def draw_effects(effects: Effects, score: str, file: Path) -> None:
    """Draw the effects of fields, see `effects`: protocols as dots, means over a value as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(effects), 3.4), layout="constrained")
    panels = figure.subplots(1, len(effects), sharey=True, squeeze=False)[0]
    for panel, (field, values) in zip(panels, effects.items(), strict=True):
        for place, scores in enumerate(values.values()):
            panel.plot([place] * len(scores), [100 * score for score in scores], ".", color="C0", alpha=0.4)
        panel.plot([100 * fmean(scores) for scores in values.values()], "o-", color="C1")
        panel.set_xticks(range(len(values)), list(values), rotation=45 if max(map(len, values)) > 6 else 0)
        panel.set_title(field)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{score} (%)")
    save_figure(figure, file)
