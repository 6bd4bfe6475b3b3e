"""Score a network under many protocols at once: a grid of fields, or the path from a protocol to another."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from datamodules.writing.files import write_atomically

from ..command_line.configs import positive
from ..experiments.configured import common_flags, protocols_of, read_changes, read_on

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from lightning_modules.functional import PropagationProtocol

    from ..benchmarks.base import Benchmark
    from ..experiments.configured import Configured
    from ..experiments.findings import Selection
    from ..experiments.job import Job, NetworkSpec
    from ..experiments.runner import Runner
    from ..results.records import Record

ONE_BENCHMARK = "a sweep takes a single benchmark by label propagation"


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
        from ..results.result import MEANS_OF

        by_sequence = set(MEANS_OF.get(self.score, (self.score,))) <= set(self.benchmark.ranked_by)
        if self.benchmark.score_names and self.score not in self.benchmark.score_names and not by_sequence:
            known = dict.fromkeys((*self.benchmark.ranked_by, *self.benchmark.score_names))
            raise ValueError(f"--score {self.score}: {type(self.benchmark).__name__} has {', '.join(known)}")

    def scored(self, protocols: Sequence[PropagationProtocol]) -> dict[Job, Record]:
        """Score protocols for all views.

        Args:
            protocols: different protocols.

        Returns:
            Job → score, highest first; empty while other processes run some of the jobs.

        Raises:
            ValueError: if a job failed; after all other jobs.
        """
        from ..experiments.job import Job
        from ..results.records import score_of
        from ..results.statistics import from_best

        jobs = [Job(view, self.benchmark, protocol) for view in self.views for protocol in protocols]
        results = self.runner.run(jobs)
        self.runner.raise_failures(len(jobs))
        if len(results) < len(jobs):
            print(f"{len(results)} of {len(jobs)} jobs are done; the table follows when all are done")
            return {}
        records = {
            job: score_of(result, self.score, self.runner.store.folder_of(job))[0] for job, result in results.items()
        }
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
            other sequences. Or a sweep over other data: all protocols are scored on the other data, and only the
            selected protocol and the base protocol on the data of `run`.

    Raises:
        ValueError, OSError: for a user's mistake.
    """
    from ..experiments import findings
    from ..experiments.runner import process_group

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
            found, output = findings.effects(scored, (*fields, "stage", "stride")), run.runner.store.folder
            parts = [f"Data: {whole.benchmark.root}\n", findings.grid_markdown(scored, run.score, found)]
            parts += [findings.choice_markdown(choice)] if choice else []
            plots = [output / "sweep.png"] if found else []
            if plots:
                findings.draw_effects(found, run.score, *plots)
            _write("\n".join(parts).rstrip(), output / "sweep.md", *plots)


def _apply(run: Sweep, job: Job, best: Record) -> Selection | None:
    """Score a protocol selected on other data, and the base protocol, on the data of a run."""
    from ..experiments.findings import Selection, features_of, record_of

    base, chosen = run.benchmark.protocol, cast("PropagationProtocol", job.protocol)
    found = replace(run, views=[replace(run.views[0], **features_of(best))]).scored(list(dict.fromkeys((chosen, base))))
    here, there = record_of(found, chosen), record_of(found, base)
    if here is None or not here.videos:
        return None
    return Selection(best, best.value, here.videos, there.videos if there else {})


def explain_protocols(run: Sweep, first: PropagationProtocol, second: PropagationProtocol) -> None:
    """Change a protocol into another field by field, in both orders; write explain.md and a waterfall plot.

    Args:
        run: network, with a single view, and benchmark.
        first: start of the path.
        second: end of the path.

    Raises:
        ValueError, OSError: for a user's mistake.
    """
    from ..experiments import findings
    from ..experiments.grid import protocol_path
    from ..experiments.runner import process_group

    paths = [protocol_path(first, second, backwards) for backwards in (False, True)]
    with process_group() as rank:
        scored = run.scored([first, *dict.fromkeys(protocol for path in paths for _, protocol in path)])
        if scored and rank == 0:
            waterfalls, ends = [findings.waterfall(scored, first, path) for path in paths], (first.name, second.name)
            output = run.runner.store.folder
            findings.draw_waterfalls(waterfalls, ends, run.score, plot := output / "explain.png")
            _write(findings.path_markdown(waterfalls, ends, run.score), output / "explain.md", plot)


def _write(text: str, file: Path, *plots: Path) -> None:
    """Write and print a text; print the paths of the text and its plots."""
    write_atomically(file, text + "\n")
    print(f"{text}\n\n{', '.join(map(str, (file, *plots)))}")


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep`; a user's mistake raises UsageError, ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    _refuse_mixed(flags)
    configured, *others = read_on(flags.on or ["davis"])
    if others:
        raise ValueError(f"--on {' '.join(flags.on)}: {ONE_BENCHMARK}")
    fraction = _selection_fraction(flags.select_on)

    from lightning_modules.checkpoints import allow_named

    from ..experiments.grid import named_grid, read_grid

    allow_named(args)
    run = _sweep_of(flags, configured)
    kind, like = type(run.benchmark).name, run.benchmark.protocols_like
    if flags.explain:
        explain_protocols(run, *(named_grid([name], kind, like)[0] for name in flags.explain))
        return
    if flags.protocols:
        protocols = named_grid(flags.protocols, kind, like)
    else:
        protocols = read_grid(run.benchmark.protocol, flags.vary, flags.most)
    fields = [text.partition("=")[0] for text in flags.vary]
    sweep(run, protocols, fields, fraction or replace(run, benchmark=_benchmark_elsewhere(flags, configured)))


def _selection_fraction(select_on: str) -> float | None:
    """Return the fraction of `--select-on`; None for the folder of another data set.

    Raises:
        ValueError: for a missing folder.
    """
    if re.fullmatch(r"0?\.\d*[1-9]\d*", select_on):
        return float(select_on)
    if not Path(root := select_on.partition("@")[0]).exists():
        raise ValueError(f"--select-on {select_on}: {root}: no such folder")
    return None


def _sweep_of(flags: argparse.Namespace, configured: Configured) -> Sweep:
    """Return the network with all stages and strides, and the benchmark with the base of the grid.

    Raises:
        ValueError: for a benchmark without label propagation, or a wrong protocol, field, score or stride.
    """
    from lightning_modules.functional import PropagationProtocol

    from ..experiments.job import NetworkSpec
    from ..experiments.runner import Runner
    from ..experiments.store import Store

    benchmark: Any = configured.build(limit_sequences=flags.limit)
    if not isinstance(getattr(benchmark, "protocol", None), PropagationProtocol):
        raise ValueError(f"{configured.text}: {ONE_BENCHMARK}")
    names = [flags.protocol] if flags.protocol else []
    ((benchmark.protocol,),) = protocols_of([benchmark], names, read_changes(flags.change))
    network = NetworkSpec.read(flags.spec, flags.pretrained, flags.seed)
    views = product(flags.stages or [network.stage], flags.strides or [network.stride])
    networks = [replace(network, stage=stage, stride=stride) for stage, stride in views]
    return Sweep(networks, benchmark, Runner(Store(flags.output), flags.at_once, pages=False), flags.score)


def _benchmark_elsewhere(flags: argparse.Namespace, configured: Configured) -> Benchmark:
    """Return the benchmark on the data of `--select-on ROOT[@SPLIT]`."""
    root, _, split = flags.select_on.partition("@")
    return configured.build(root=root, limit_sequences=flags.limit, split=split or None)


def _parser() -> argparse.ArgumentParser:
    parser = common_flags("vidcorr sweep", __doc__)
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    several: dict[str, Any] = {"nargs": "+", "default": []}
    parser.add_argument("--protocol", metavar="NAME", help="base of the grid (default: the config's)")
    parser.add_argument("--change", **several, metavar="FIELD=VALUE", help="fields of the base to change")
    parser.add_argument("--protocols", **several, metavar="NAME", help="named protocols, or all, instead of a grid")
    parser.add_argument("--vary", **several, metavar="FIELD=V,V", help="values of fields: radius=6,12 topk=5,10")
    parser.add_argument("--explain", nargs=2, metavar=("A", "B"), help="change protocol A into B, a field at a time")
    parser.add_argument("--stages", nargs="+", help="stages of the features (default: the benchmark's choice)")
    parser.add_argument("--strides", nargs="+", type=positive, help="their strides (default: the benchmark's choice)")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    choice = "select on a fraction of the sequences (default: 0.5), or on another data set of the same layout"
    parser.add_argument("--select-on", default="0.5", metavar="FRACTION|ROOT[@SPLIT]", help=choice)
    parser.add_argument("--seed", type=int, default=0, help="seed of untrained weights (default: 0)")
    parser.add_argument("--most", type=positive, default=500, metavar="N", help="largest allowed grid (default: 500)")
    parser.add_argument("--at-once", type=positive, default=40, metavar="N", help="protocols per pass (default: 40)")
    parser.add_argument("--output", type=Path, default=Path("sweep"), help="folder of results (default: sweep)")
    return parser


def _refuse_mixed(flags: argparse.Namespace) -> None:
    """Refuse flags of several kinds of sweeps.

    Raises:
        ValueError: naming the flags.
    """
    based = flags.protocol or flags.change
    if flags.protocols and (flags.vary or based):
        raise ValueError("--protocols: a list of named protocols takes neither --vary, --protocol nor --change")
    if flags.explain and (flags.vary or based or flags.protocols or flags.stages or flags.strides):
        raise ValueError("--explain A B: takes no other protocols; write stage and stride as SPEC@STAGE/STRIDE")
