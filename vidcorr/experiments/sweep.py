"""Sweeps: a network and a benchmark under many protocols, the effects of fields, and a choice reported elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from ..benchmarks.base import Benchmark
from ..benchmarks.network import NetworkSpec
from ..functional import PropagationProtocol
from ..results.records import Record, score_of
from ..results.result import MEANS_OF
from ..results.statistics import Sample, difference, from_best, interval
from ..results.text_tables import markdown_table, percent
from ..videos.files import write_atomically
from .evaluate import Job, Runner, process_group

TOP = 20
"""Number of protocols in the table."""
Scored = Mapping[Job, Record]
"""Jobs of a sweep with their scores, highest first."""
Effects = dict[str, dict[str, list[float]]]
"""Field → value → scores of the protocols with this value."""


def sweep(
    networks: Sequence[NetworkSpec],
    benchmark: Benchmark,
    protocols: Sequence[PropagationProtocol],
    output: str | Path,
    score: str = "J&F-Mean",
    fields: Sequence[str] = (),
) -> None:
    """Score protocols, and write and print sweep.md; nothing while other processes run some of the jobs.

    Args:
        networks: the network with each stage and stride of its features.
        benchmark: benchmark by label propagation or matching; its protocol is the base of the choice.
        protocols: different protocols.
        output: folder of the results.
        score: key of the compared score.
        fields: varied fields of a grid.

    Raises:
        ValueError: if the benchmark is known to lack the score; or if a job failed, after all other jobs.
        OSError: if the folder cannot be written.
    """
    _require_score(benchmark, score)
    with process_group() as rank:
        runner = Runner(output, pages=False)
        jobs = [Job(network, benchmark, protocol) for network, protocol in product(networks, protocols)]
        results = runner.run(jobs)
        runner.raise_failures(len(jobs))
        if len(results) < len(jobs):
            print(f"{len(results)} of {len(jobs)} jobs are done; the table follows when all are done")
            for job in runner.elsewhere:
                print(f"running elsewhere: {job.title}")
            return
        records: dict[Job, Record] = {}
        for job, result in results.items():
            records[job] = score_of(result, score, runner.place(job))[0]
        scored = dict(sorted(records.items(), key=lambda pair: from_best(pair[1].value)))
        if rank == 0:
            effects = effects_of(scored, (*fields, "stage", "stride"))
            parts = [grid_markdown(scored, score, effects), choice_markdown(scored, benchmark.protocol)]
            text = "\n".join(parts).rstrip()
            write_atomically(runner.output / "sweep.md", text + "\n")
            print(f"{text}\n\n{runner.output / 'sweep.md'}")


def _require_score(benchmark: Benchmark, score: str) -> None:
    """Refuse a score that a benchmark is known to lack.

    Raises:
        ValueError: naming the scores of the benchmark.
    """
    columns = set(MEANS_OF.get(score, (score,)))
    by_sequence = columns <= set(benchmark.ranked_by)
    if benchmark.score_names and score not in benchmark.score_names and not by_sequence:
        known = dict.fromkeys((*benchmark.ranked_by, *benchmark.score_names))
        raise ValueError(f"score {score}: {type(benchmark).__name__} has {', '.join(known)}")


def features_of(record: Record) -> dict[str, Any]:
    """Return stage and stride of the features of a record."""
    return {"stage": record.stage.layer or None, "stride": record.stage.stride}


def effects_of(scored: Scored, fields: Collection[str]) -> Effects:
    """Return the effects of fields with several values, the largest effect first.

    The effect of a field is the largest minus the smallest mean score over its values.

    Args:
        scored: scores of a grid. Between named protocols several fields differ at a time, so they show no effects.
        fields: fields to analyse, `stage` and `stride` included.
    """
    effects: Effects = {}
    for field in fields:
        values = []
        for job, record in scored.items():
            settings = job.protocol.fields() | features_of(record)
            values.append((settings[field], record.value))
        of_field: dict[str, list[float]] = {}
        for value, score in sorted(values, key=_value_order):
            of_field.setdefault(json.dumps(value).strip('"'), []).append(score)
        if len(of_field) > 1:
            effects[field] = of_field
    return dict(sorted(effects.items(), key=lambda pair: _effect_size(pair[1]), reverse=True))


def _value_order(pair: tuple[Any, float]) -> tuple[bool, bool, Any]:
    """Return a sort key of a field's value: numbers, then sizes, then None."""
    value, _ = pair
    return value is None, isinstance(value, list), value


def _effect_size(values: Mapping[str, Sequence[float]]) -> float:
    """Return the largest minus the smallest mean score over the values of a field."""
    means = [fmean(scores) for scores in values.values()]
    return max(means) - min(means)


def grid_markdown(scored: Scored, score: str, effects: Effects) -> str:
    """Return the best protocols and the effects as Markdown, with scores in per cent.

    Args:
        scored: scores of a sweep.
        score: key of the score.
        effects: field → value → scores of the protocols with this value, the largest effect first.
    """
    rows = []
    for job, record in list(scored.items())[:TOP]:
        protocol = [job.protocol.name, job.protocol.digest()]
        features = [record.stage.layer, str(record.stage.stride or "")]
        scores = [percent(record.value), _ends(record.result.interval(record.key))]
        rows.append(protocol + features + scores)
    head = ["protocol", "digest", "stage", "stride", "all sequences", "95 % interval"]
    title = f"## Best {len(rows)} of {len(scored)} protocols, {score}"
    parts = [f"{title}\n\n{markdown_table(head, rows, first_right=4)}"]
    for field, values in effects.items():
        lines = []
        for value, found in values.items():
            lines.append([value, percent(fmean(found)), percent(max(found))])
        parts.append(f"## {field}\n\n{markdown_table(['value', 'mean', 'best'], lines)}")
    return "\n".join(parts)


def choice_markdown(scored: Scored, base: PropagationProtocol) -> str:
    """Select the best protocol on every second sequence, and describe its score on the others as Markdown.

    Args:
        scored: scores over the same sequences.
        base: protocol to compare with, at the same features.

    Returns:
        The section; empty with fewer than two sequences with values.
    """
    videos = [set(record.videos) for record in scored.values()]
    names = sorted(set.intersection(*videos))
    if len(names) < 2:
        return ""
    for_choice = names[1::2]
    for_report = names[::2]
    chosen_by = {job: _over(record, for_choice) for job, record in scored.items()}
    job = min(chosen_by, key=lambda job: from_best(chosen_by[job].score))
    best = scored[job]
    reported = _over(best, for_report)
    features = features_of(best)
    chosen = f"{best.stage.protocol.shared_name}, stage {features['stage']}, stride {features['stride']}"
    text = f"## Chosen on some sequences, reported on others\n\n{chosen}:\n"
    text += f"{percent(chosen_by[job].score)} where it was chosen, {percent(reported.score)}"
    ends = _ends(interval([reported]))
    if ends:
        text += f" ({ends})"
    text += " on the others"
    gain = None
    for other, record in scored.items():
        if other.network == job.network and other.protocol == base:
            gain = difference([reported], [_over(record, for_report)])
            break
    if gain is not None:
        text += f"; over the base protocol {gain.in_points}"
    text += "."
    if best.key in best.result.without:
        text += " These are means over the sequences, unlike the score."
    return f"{text}\n"


def _over(record: Record, names: Sequence[str]) -> Sample:
    """Return the score of a record over some of its sequences."""
    return Sample.of_means({name: record.videos[name] for name in names})


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"
