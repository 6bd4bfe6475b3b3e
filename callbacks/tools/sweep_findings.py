"""Findings of a sweep: the protocol chosen on some sequences and reported on others, and the effect of each field."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning_modules.functional import PropagationProtocol

from ..results.records import Record, read_records
from ..results.rendering import markdown_table, percent
from ..results.statistics import Difference, difference, interval, mean_score
from ..results.stored import read_rows
from ..tracking.view import at_stride

TOP = 20
"""Protocols in the table."""


def fields_of(record: Record) -> dict[str, Any]:
    """Return the fields of a record's protocol, with `stage` and `stride` of the features."""
    fields = {
        name: value for name, value in record.protocol.items() if name not in ("name", "digest", "feature_stride")
    }
    return fields | record.features


@dataclass(frozen=True)
class Selection:
    """The protocol that is best on the sequences for selection.

    Args:
        best: the protocol.
        selected: its mean there.
        reported: its mean on the other sequences, which had no say.
        interval: 95 % interval of `reported` over sequences; None where it is over one.
        gain: over the base protocol, on the other sequences; None where the base was not swept, or for one sequence.
    """

    best: Record
    selected: float
    reported: float
    interval: tuple[float, float] | None
    gain: Difference | None


@dataclass(frozen=True)
class Effect:
    """The effect of one field.

    Args:
        field: its name, or `stage` or `stride`.
        means: value → mean score over all protocols with it.
        best: value → best score of a protocol with it.
    """

    field: str
    means: Mapping[str, float]
    best: Mapping[str, float]

    @property
    def size(self) -> float:
        """Return the difference between the best and the worst value's mean."""
        return max(self.means.values()) - min(self.means.values())


def read_scores(folders: Sequence[Path], score: str) -> list[Record]:
    """Read what the batches of a sweep left, the highest score first.

    Args:
        folders: folders of the batches, each with results.json and per_sequence.csv.
        score: key, for example `J&F-Mean`; where a benchmark gives it for single sequences only, their mean counts.

    Raises:
        ValueError: if the rows of a batch do not hold the score for single sequences, or not all are of one sweep.
    """
    found: list[Record] = []
    for folder in folders:
        records = read_records(folder, scores=[score])
        if not records or not all(one.videos for one in records):
            rows = read_rows(folder / "per_sequence.csv")
            known = [name for name in (rows[0] if rows else {}) if name not in ("Stage", "Sequence")]
            have = f"{score!r}; it has {', '.join(known)}: choose another --score"
            raise ValueError(f"{folder / 'per_sequence.csv'}: has no column {have}")
        found += records
        alike = {(frozenset(one.videos), frozenset(fields_of(one))) for one in found}
        if len(alike) > 1:
            raise ValueError(f"{folder}: holds other protocols or sequences than this sweep; remove it to run it again")
    return sorted(found, key=lambda one: -one.value)


def mean_of(record: Record, names: Iterable[str]) -> float:
    """Return the mean over the objects of some sequences."""
    return mean_score(_some(record, names))


def _some(record: Record, names: Iterable[str]) -> dict[str, Sequence[float]]:
    return {name: record.videos[name] for name in names}


def choose(scored: Sequence[Record], base: PropagationProtocol, selection: float = 0.5) -> Selection | None:
    """Choose the protocol that is best on every second sequence or so, and report it on the others.

    Args:
        scored: result of `read_scores`, all over the same sequences.
        base: protocol that the sweep began from.
        selection: fraction of the sequences to choose on, in (0, 1).

    Returns:
        None where there are fewer than two sequences, so that nothing is left to report on.
    """
    names = sorted(scored[0].videos)
    chosen_on = [name for k, name in enumerate(names) if int((k + 1) * selection) > int(k * selection)]
    others = [name for name in names if name not in chosen_on]
    if not chosen_on or not others:
        return None
    best = max(scored, key=lambda one: mean_of(one, chosen_on))
    base_name = at_stride(base, best.features["stride"]).name
    same = [one for one in scored if one.protocol["name"] == base_name and one.features == best.features]
    on_others = [_some(best, others)]
    gain = difference(on_others, [_some(same[0], others)]) if same else None
    return Selection(best, mean_of(best, chosen_on), mean_of(best, others), interval(on_others), gain)


def effects(scored: Sequence[Record], fields: Collection[str] | None = None) -> list[Effect]:
    """Return the effect of each field that takes several values, the largest first.

    Args:
        scored: result of `read_scores`.
        fields: to analyse; None is every field. Those of named protocols differ together, so that no effect is theirs.
    """
    found = []
    for field in fields_of(scored[0]) if fields is None else fields:
        by_value: dict[str, list[float]] = {}
        for one in sorted(scored, key=lambda one: _in_order(fields_of(one)[field])):
            by_value.setdefault(_value(one, field), []).append(one.value)
        if len(by_value) > 1:
            means = {value: fmean(scores) for value, scores in by_value.items()}
            found.append(Effect(field, means, {value: max(scores) for value, scores in by_value.items()}))
    return sorted(found, key=lambda effect: -effect.size)


def _value(record: Record, field: str) -> str:
    """Return the value of a field as text."""
    return json.dumps(fields_of(record)[field]).strip('"')


def _in_order(value: Any) -> tuple[bool, bool, float, str]:
    """Return a key that puts numbers first, in ascending order, and None last."""
    number = isinstance(value, int | float)
    return value is None, not number, value if number else 0.0, str(value)


def grid_markdown(
    scored: Sequence[Record],
    score: str,
    choice: Selection | None,
    fields: Collection[str] | None = None,
) -> str:
    """Return the best protocols, the choice and the effects as Markdown, scores in per cent.

    Args:
        scored: result of `read_scores`.
        score: its key.
        choice: result of `choose`.
        fields: whose effect is shown, see `effects`.
    """
    rows = []
    for one in scored[:TOP]:
        features = [str(one.features["stage"] or ""), str(one.features["stride"])]
        ends = _ends(interval([one.videos]) if one.is_mean else None)
        rows.append([one.protocol["name"], one.protocol["digest"], *features, percent(one.value), ends])
    head = ["protocol", "digest", "stage", "stride", "all sequences", "95 % interval"]
    parts = [f"## Best {len(rows)} of {len(scored)} protocols, {score}\n\n{markdown_table(head, rows, first_right=4)}"]
    if choice is not None:
        best, ends = choice.best, _ends(choice.interval)
        text = (
            "## Chosen on one part of the sequences, reported on the other\n\n"
            f"{best.protocol['name']}, stage {best.features['stage']}, stride {best.features['stride']}:\n"
            f"{100 * choice.selected:.1f} where it was chosen, {100 * choice.reported:.1f}"
            f"{f' ({ends})' if ends else ''} on the others"
        )
        if choice.gain is not None:
            text += f"; over the base protocol {choice.gain.in_points}"
        pooled = "" if best.is_mean else " These are means over the sequences, unlike the score."
        parts.append(f"{text}.{pooled}\n")
    for effect in effects(scored, fields):
        rows = [[name, percent(mean), percent(effect.best[name])] for name, mean in effect.means.items()]
        parts.append(f"## {effect.field}\n\n{markdown_table(['value', 'mean', 'best'], rows)}")
    return "\n".join(parts).rstrip()


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"


def draw(scored: Sequence[Record], score: str, file: Path, fields: Collection[str] | None = None) -> bool:
    """Draw each field's effect: every protocol as a dot, the mean of each value as a line.

    Returns:
        Whether there was a field to draw.
    """
    from matplotlib.figure import Figure

    found = effects(scored, fields)
    if not found:
        return False
    picture = Figure(figsize=(3.2 * len(found), 3.4), layout="constrained")
    panels = picture.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, effect in zip(panels, found, strict=True):
        values = list(effect.means)
        for one in scored:
            across = values.index(_value(one, effect.field))
            panel.plot(across, 100 * one.value, ".", color="C0", alpha=0.4)
        panel.plot(range(len(values)), [100 * mean for mean in effect.means.values()], "o-", color="C1")
        panel.set_xticks(range(len(values)), values, rotation=45 if max(map(len, values)) > 6 else 0)
        panel.set_title(effect.field)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{score} (%)")
    picture.savefig(file, dpi=150)
    return True
