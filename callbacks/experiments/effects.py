"""Findings of a sweep: the protocol chosen on some sequences and reported on others, and the effect of each field."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning_modules.functional import PropagationProtocol

from ..statistics.intervals import Difference, bootstrap_interval, paired_difference
from ..statistics.text import percent
from ..statistics.uncertainty import values_by_sequence
from ..stored_results import protocols_of, read_results, read_rows, read_sequences
from ..tracking.view import at_stride
from .results_table import markdown_table

TOP = 20
"""Protocols in the table."""

ScoresByVideo = dict[str, list[float]]
"""Video → scores of its objects, in [0, 1]."""


@dataclass(frozen=True)
class Scored:
    """One protocol on the features of one stage and stride.

    Args:
        name: name of the protocol, with its stage in front where there are several.
        fields: fields of the protocol, with `stage` and `stride`.
        digest: digest of the protocol.
        score: score over all sequences, as the benchmark gives it.
        videos: scores of single videos.
    """

    name: str
    fields: Mapping[str, Any]
    digest: str
    score: float
    videos: ScoresByVideo

    def mean(self, names: Iterable[str]) -> float:
        """Return the mean over the objects of some videos."""
        return fmean(score for name in names for score in self.videos[name])

    @property
    def pooled(self) -> bool:
        """Return whether the score is another statistic than the mean over objects, such as an IoU over all pixels."""
        return abs(self.mean(self.videos) - self.score) >= 1e-6


@dataclass(frozen=True)
class Selection:
    """The protocol that is best on the sequences for selection.

    Args:
        best: the protocol.
        selected: its mean there.
        reported: its mean on the other sequences, which had no say.
        interval: 95 % bootstrap interval of `reported` over sequences.
        gain: over the base protocol, on the other sequences; None where the base was not swept.
    """

    best: Scored
    selected: float
    reported: float
    interval: tuple[float, float]
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


def read_scores(folders: Sequence[Path], score: str) -> list[Scored]:
    """Read what the batches of a sweep left.

    Args:
        folders: folders of the batches, each with results.json and per_sequence.csv.
        score: key, for example `J&F-Mean`; where a benchmark gives it for single sequences only, their mean counts.

    Raises:
        ValueError: if the rows of a batch do not hold the score for single sequences.
    """
    found = []
    for folder in folders:
        content, rows = read_results(folder / "results.json"), read_rows(folder / "per_sequence.csv")
        protocols = protocols_of(content)
        several = len(protocols) > 1
        stage = content.get("stage")
        for protocol in protocols:
            column = protocol["name"] if several else ""
            key = f"{column}/{score}" if column else score
            fields = {
                name: value for name, value in protocol.items() if name not in ("name", "digest", "feature_stride")
            }
            videos = values_by_sequence(rows, key, read_sequences(folder))
            if videos is None:
                known = [name for name in (rows[0] if rows else {}) if name not in ("Stage", "Sequence")]
                have = f"{score!r}; it has {', '.join(known)}: choose another --score"
                raise ValueError(f"{folder / 'per_sequence.csv'}: has no column {have}")
            mean = fmean(value for values in videos.values() for value in values)
            found.append(
                Scored(
                    name=protocol["name"],
                    fields=fields | {"stage": stage, "stride": content.get("stride")},
                    digest=protocol["digest"],
                    score=content["scores"].get(key, mean),
                    videos=videos,
                )
            )
        same = protocols and all(
            one.videos.keys() == found[0].videos.keys() and one.fields.keys() == found[0].fields.keys() for one in found
        )
        if not same:
            raise ValueError(f"{folder}: holds other protocols or sequences than this sweep; remove it to run it again")
    return sorted(found, key=lambda scored: -scored.score)


def choose(scored: Sequence[Scored], base: PropagationProtocol, selection: float = 0.5) -> Selection | None:
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
    best = max(scored, key=lambda one: one.mean(chosen_on))
    alike = [one for one in scored if one.name == at_stride(base, one.fields["stride"]).name]
    same = [one for one in alike if all(one.fields[field] == best.fields[field] for field in ("stage", "stride"))]
    on_others = {name: best.videos[name] for name in others}
    gain = paired_difference(on_others, {name: same[0].videos[name] for name in others}) if same else None
    interval = bootstrap_interval(list(on_others.values()))
    return Selection(best, best.mean(chosen_on), best.mean(others), interval, gain)


def effects(scored: Sequence[Scored], fields: Collection[str] | None = None) -> list[Effect]:
    """Return the effect of each field that takes several values, the largest first.

    Args:
        scored: result of `read_scores`.
        fields: to analyse; None is every field. Those of named protocols differ together, so that no effect is theirs.
    """
    found = []
    for field in scored[0].fields if fields is None else fields:
        by_value: dict[str, list[float]] = {}
        for one in sorted(scored, key=lambda one: _in_order(one.fields[field])):
            by_value.setdefault(json.dumps(one.fields[field]).strip('"'), []).append(one.score)
        if len(by_value) > 1:
            means = {value: fmean(scores) for value, scores in by_value.items()}
            found.append(Effect(field, means, {value: max(scores) for value, scores in by_value.items()}))
    return sorted(found, key=lambda effect: -effect.size)


def _in_order(value: Any) -> tuple[bool, bool, float, str]:
    """Return a key that puts numbers first, in ascending order, and None last."""
    number = isinstance(value, int | float)
    return value is None, not number, value if number else 0.0, str(value)


def grid_markdown(
    scored: Sequence[Scored],
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
    out = io.StringIO()
    print(f"## Best {min(TOP, len(scored))} of {len(scored)} protocols, {score}\n", file=out)
    rows = []
    for one in scored[:TOP]:
        low, high = (100 * end for end in bootstrap_interval(list(one.videos.values())))
        interval = f"{low:.1f} … {high:.1f}" if len(one.videos) > 1 and not one.pooled else ""
        features = [str(one.fields["stage"] or ""), str(one.fields["stride"])]
        rows.append([one.name, one.digest, *features, percent(one.score), interval])
    head = ["protocol", "digest", "stage", "stride", "all sequences", "95 % interval"]
    print(markdown_table(head, rows, right=[4]), end="", file=out)
    if choice is not None:
        setting, (low, high) = choice.best.fields, (100 * end for end in choice.interval)
        print("\n## Chosen on one part of the sequences, reported on the other\n", file=out)
        print(f"{choice.best.name}, stage {setting['stage']}, stride {setting['stride']}:", file=out)
        print(f"{100 * choice.selected:.1f} where it was chosen,", end=" ", file=out)
        print(f"{100 * choice.reported:.1f} ({low:.1f} … {high:.1f}) on the others", end="", file=out)
        if choice.gain is not None:
            print(f"; over the base protocol {choice.gain.in_points}", end="", file=out)
        print("." + (" These are means over the sequences, unlike the score." if choice.best.pooled else ""), file=out)
    for effect in effects(scored, fields):
        rows = [[name, percent(mean), percent(effect.best[name])] for name, mean in effect.means.items()]
        print(f"\n## {effect.field}\n\n{markdown_table(['value', 'mean', 'best'], rows)}", end="", file=out)
    return out.getvalue().rstrip()


def draw(scored: Sequence[Scored], score: str, file: Path, fields: Collection[str] | None = None) -> bool:
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
            across = values.index(json.dumps(one.fields[effect.field]).strip('"'))
            panel.plot(across, 100 * one.score, ".", color="C0", alpha=0.4)
        panel.plot(range(len(values)), [100 * mean for mean in effect.means.values()], "o-", color="C1")
        panel.set_xticks(range(len(values)), values, rotation=45 if max(map(len, values)) > 6 else 0)
        panel.set_title(effect.field)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{score} (%)")
    picture.savefig(file, dpi=150)
    return True
