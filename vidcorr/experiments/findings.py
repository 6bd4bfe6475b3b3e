"""Findings of a sweep: a protocol selected on some sequences, and effects of fields."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..functional import PropagationProtocol
from ..results.records import Record
from ..results.rendering import markdown_table, percent
from ..results.statistics import Sample, ScoresBySequence, difference, from_best, interval, mean_score
from ..videos.files import save_figure
from .job import Job

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
