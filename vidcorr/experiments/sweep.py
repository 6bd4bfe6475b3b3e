"""Sweeps: a network and a benchmark under many protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..functional import PropagationProtocol
from ..results.records import Record, score_of
from ..results.result import MEANS_OF
from ..results.statistics import from_best
from ..videos.files import write_atomically
from . import findings
from .evaluate import Runner, process_group
from .job import Job, NetworkSpec


@dataclass(frozen=True)
class Sweep:
    """A network and a benchmark under many protocols.

    Args:
        views: the network with each stage and stride of its features.
        benchmark: benchmark by label propagation; its protocol is the base of the findings.
        runner: runner of the protocols.
        score: key of the compared score.

    Raises:
        ValueError: if the benchmark is known to lack the score.
    """

    views: Sequence[NetworkSpec]
    benchmark: Any
    runner: Runner
    score: str = "J&F-Mean"

    def __post_init__(self) -> None:
        by_sequence = set(MEANS_OF.get(self.score, (self.score,))) <= set(self.benchmark.ranked_by)
        if self.benchmark.score_names and self.score not in self.benchmark.score_names and not by_sequence:
            known = dict.fromkeys((*self.benchmark.ranked_by, *self.benchmark.score_names))
            raise ValueError(f"score {self.score}: {type(self.benchmark).__name__} has {', '.join(known)}")

    def scored(self, protocols: Sequence[PropagationProtocol]) -> dict[Job, Record]:
        """Score protocols for all views.

        Args:
            protocols: different protocols.

        Returns:
            Job → score, highest first; empty while other processes run some of the jobs.

        Raises:
            ValueError: if a job failed; after all other jobs.
        """
        jobs = [Job(view, self.benchmark, protocol) for view in self.views for protocol in protocols]
        results = self.runner.run(jobs)
        self.runner.raise_failures(len(jobs))
        if len(results) < len(jobs):
            print(f"{len(results)} of {len(jobs)} jobs are done; the table follows when all are done")
            return {}
        store = self.runner.store
        records = {job: score_of(result, self.score, store.folder_of(job))[0] for job, result in results.items()}
        return dict(sorted(records.items(), key=lambda pair: from_best(pair[1].value)))


def sweep(
    run: Sweep, protocols: Sequence[PropagationProtocol], fields: Sequence[str] = (), select_on: Sweep | float = 0.5
) -> None:
    """Score protocols, write and print sweep.md, and plot the effects of the fields.

    Args:
        run: network and benchmark.
        protocols: see `read_grid` and `named_grid`.
        fields: varied fields of a grid.
        select_on: fraction of the sequences for the selection of a protocol, in (0, 1); its score is reported on the
            other sequences. If it is a sweep, its data select the protocol: all protocols are scored on them, and only
            the selected protocol and the base protocol on the data of `run`.

    Raises:
        ValueError, OSError: for a user's mistake.
    """
    with process_group() as rank:
        whole = select_on if isinstance(select_on, Sweep) else run
        scored = whole.scored(protocols)
        if not scored:
            return
        if isinstance(select_on, Sweep):
            choice = _apply(run, *next(iter(scored.items())))
        else:
            choice = findings.choose(scored, run.benchmark.protocol, select_on)
        if rank == 0:
            effects, output = findings.effects(scored, (*fields, "stage", "stride")), run.runner.store.folder
            parts = [f"Data: {whole.benchmark.root}\n", findings.grid_markdown(scored, run.score, effects)]
            parts += [findings.choice_markdown(choice)] if choice else []
            plots = [output / "sweep.png"] if effects else []
            if plots:
                findings.draw_effects(effects, run.score, *plots)
            _write("\n".join(parts).rstrip(), output / "sweep.md", *plots)


def _apply(run: Sweep, job: Job, best: Record) -> findings.Selection | None:
    """Score a protocol selected on other data, and the base protocol, on the data of a run."""
    base, chosen = run.benchmark.protocol, cast("PropagationProtocol", job.protocol)
    view = replace(run.views[0], **findings.features_of(best))
    scored = replace(run, views=[view]).scored(list(dict.fromkeys((chosen, base))))
    here, there = findings.record_of(scored, chosen), findings.record_of(scored, base)
    if here is None or not here.videos:
        return None
    return findings.Selection(best, best.value, here.videos, there.videos if there else {})


def _write(text: str, file: Path, *plots: Path) -> None:
    """Write and print a text; print the paths of the text and its plots."""
    write_atomically(file, text + "\n")
    print(f"{text}\n\n{', '.join(map(str, (file, *plots)))}")
