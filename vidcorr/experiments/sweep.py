"""Sweeps: a network and a benchmark under many protocols, the effects of fields, and a choice reported elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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
        protocols: different protocols, see `read_grid` and `named_grid`.
        output: folder of the results.
        score: key of the compared score.
        fields: varied fields of a grid.

    Raises:
        ValueError: if the benchmark is known to lack the score; or if a job failed, after all other jobs.
        OSError: if the folder cannot be written.
    """
    by_sequence = set(MEANS_OF.get(score, (score,))) <= set(benchmark.ranked_by)
    if benchmark.score_names and score not in benchmark.score_names and not by_sequence:
        known = dict.fromkeys((*benchmark.ranked_by, *benchmark.score_names))
        raise ValueError(f"score {score}: {type(benchmark).__name__} has {', '.join(known)}")
    with process_group() as rank:
        runner = Runner(output, pages=False)
        jobs = [Job(network, benchmark, protocol) for network in networks for protocol in protocols]
        results = runner.run(jobs)
        runner.raise_failures(len(jobs))
        if len(results) < len(jobs):
            print(f"{len(results)} of {len(jobs)} jobs are done; the table follows when all are done")
            return
        records = {job: score_of(result, score, runner.place(job))[0] for job, result in results.items()}
        scored = dict(sorted(records.items(), key=lambda pair: from_best(pair[1].value)))
        if rank == 0:
            effects = effects_of(scored, (*fields, "stage", "stride"))
            parts = [grid_markdown(scored, score, effects), choice_markdown(scored, benchmark.protocol)]
            text = "\n".join(parts).rstrip()
            write_atomically(runner.output / "sweep.md", text + "\n")
            print(f"{text}\n\n{runner.output / 'sweep.md'}")


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
    settings = [(job.protocol.fields() | features_of(record), record.value) for job, record in scored.items()]
    effects: Effects = {}
    for field in fields:
        values = [(setting[field], score) for setting, score in settings]
        # numbers, then sizes, then None
        for value, score in sorted(values, key=lambda pair: (pair[0] is None, isinstance(pair[0], list), pair[0])):
            effects.setdefault(field, {}).setdefault(json.dumps(value).strip('"'), []).append(score)

    def size(field: str) -> float:
        means = [fmean(scores) for scores in effects[field].values()]
        return max(means) - min(means)

    return {field: effects[field] for field in sorted(effects, key=size, reverse=True) if len(effects[field]) > 1}


def grid_markdown(scored: Scored, score: str, effects: Effects) -> str:
    """Return the best protocols and the effects as Markdown, with scores in per cent.

    Args:
        scored: scores of a sweep.
        score: key of the score.
        effects: see `effects_of`.
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


def choice_markdown(scored: Scored, base: PropagationProtocol) -> str:
    """Select the best protocol on every second sequence, and describe its score on the others as Markdown.

    Args:
        scored: scores over the same sequences.
        base: protocol to compare with, at the same features.

    Returns:
        The section; empty with fewer than two sequences with values.
    """
    names = sorted(set.intersection(*(set(record.videos) for record in scored.values())))
    if len(names) < 2:
        return ""

    def over(record: Record, names: Sequence[str]) -> Sample:
        return Sample.of_means({name: record.videos[name] for name in names})

    job = min(scored, key=lambda job: from_best(over(scored[job], names[1::2]).score))
    best, chosen, reported = scored[job], over(scored[job], names[1::2]), over(scored[job], names[::2])
    features, ends = features_of(best), _ends(interval([reported]))
    text = (
        "## Chosen on some sequences, reported on others\n\n"
        f"{best.stage.protocol.shared_name}, stage {features['stage']}, stride {features['stride']}:\n"
        f"{percent(chosen.score)} where it was chosen, {percent(reported.score)}{f' ({ends})' if ends else ''} "
        "on the others"
    )
    alike = [record for other, record in scored.items() if (other.network, other.protocol) == (job.network, base)]
    if alike and (gain := difference([reported], [over(alike[0], names[::2])])):
        text += f"; over the base protocol {gain.in_points}"
    pooled = " These are means over the sequences, unlike the score." if best.key in best.result.without else ""
    return f"{text}.{pooled}\n"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"
