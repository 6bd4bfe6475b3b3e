"""Score one backbone under many protocols at once: a grid of their fields, or the way from one to another."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datamodules.reading.files import write_atomically
from datamodules.reading.guards import read_json
from lightning_modules.functional import PropagationProtocol

from ..command_line.configs import positive
from ..folder_lock import FolderInUse, FolderLock
from ..results.records import Record, records_of
from ..results.stored import columns_of, read_run
from ..results.written import require_writable
from .compare import Network, benchmarks_of, common_flags, evaluate
from .grid import AT_ONCE, MOST, Grid, ProtocolBatch, batches, named_grid, protocol_path, read_grid
from .sweep_findings import (
    Selection,
    choice_markdown,
    choose,
    draw_effects,
    draw_waterfalls,
    grid_markdown,
    path_markdown,
    record_of,
    waterfall,
)

SWEPT = "sweep.json"
"""File in the output that says which network and data its results are of."""


@dataclass(frozen=True)
class Sweep:
    """A network and a benchmark under many protocols, with the folder of the results; what is there is not run again.

    Args:
        network: the backbone.
        benchmark: by label propagation; the protocol that it has is the one that findings compare with.
        output: folder.
        score: what is compared.
        stages: stages of the features; None is the network's own choice.
        strides: strides of the features; None is the network's own choice.
        at_once: protocols that share one pass of the network.

    Raises:
        ValueError: for a score that the benchmark is known not to give; one line.
    """

    network: Network
    benchmark: Any
    output: Path
    score: str = "J&F-Mean"
    stages: Sequence[str | None] = (None,)
    strides: Sequence[int | None] = (None,)
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        by_sequence = set(columns_of(self.score)) <= set(self.benchmark.ranked_by)
        if self.benchmark.score_names and self.score not in self.benchmark.score_names and not by_sequence:
            known = dict.fromkeys((*self.benchmark.ranked_by, *self.benchmark.score_names))
            raise ValueError(f"--score {self.score}: {type(self.benchmark).__name__} has {', '.join(known)}")

    def records(self, grid: Grid) -> list[Record]:
        """Score protocols, a batch of them in one pass of the network.

        All processes that torchrun has started divide the sequences of every pass; only the first one prints.

        Args:
            grid: the protocols.

        Returns:
            A record for each protocol, stage and stride, the highest score first, on every rank; empty as long as
            batches are missing that another process runs.

        Raises:
            ValueError, OSError: for a user's mistake; one line.
        """
        from ..benchmarks.ranks import Ranks

        planned = batches(grid, self.stages, self.strides, self.at_once)
        with Ranks() as ranks, ranks.together():
            first = ranks.rank == 0
            if first:
                self._claim()
                for line in grid.refused[:3]:
                    print(f"left out: {line}")
                if len(grid.refused) > 3:
                    print(f"left out: {len(grid.refused) - 3} more combinations that no protocol can have")
                passes = f"{len(planned)} passes of the network over {len(self.benchmark.sequences)} sequences"
                print(f"{len(grid.protocols)} protocols, {passes}", flush=True)
        encoder = None
        for batch in planned:
            with Ranks() as ranks:
                lock = _lock(self.output / batch.name) if first else None
                ours = ranks.gather(lock is not None)[0]
            if ours:
                encoder = encoder or self.network.build()
                with lock or nullcontext():
                    self._run(batch, encoder, first)
        done = [folder for batch in planned if (folder := self.output / batch.name).joinpath("results.json").is_file()]
        if len(done) < len(planned) and first:
            print(f"{len(done)} of {len(planned)} batches are done; the table comes when all are")
        return read_scores(done, self.score) if len(done) == len(planned) else []

    def _run(self, batch: ProtocolBatch, encoder: Any, prints: bool) -> None:
        benchmark = copy.copy(self.benchmark)
        benchmark.protocol = batch.protocols
        began = time.perf_counter()
        evaluate(benchmark, encoder, self.output / batch.name, self.network.name, batch.stage, batch.stride)
        if prints:
            print(f"{batch.name}: {len(batch.protocols)} protocols, {time.perf_counter() - began:.0f} s", flush=True)

    def _claim(self) -> None:
        """Record in the folder what the results are made from, or check that it agrees with the record.

        Raises:
            OSError: if the folder cannot be written.
            ValueError: if it holds results of something else; one line.
        """
        require_writable(self.output)
        names = [sequence.name for sequence in self.benchmark.sequences]
        data = {"benchmark": self.benchmark.name, "data": self.benchmark.metadata(), "sequences": names}
        text = json.dumps({"network": _weights(self.network), **data}, indent=1, default=str)
        with FolderLock(self.output, "give this sweep its own --output"):  # two that start at once
            file, wanted = self.output / SWEPT, json.loads(text)
            there = read_json(file, "remove the folder, or give another --output") if file.is_file() else wanted
            if there != wanted:
                of = [key for key in wanted if not isinstance(there, dict) or there.get(key) != wanted[key]]
                raise ValueError(f"{self.output}: holds a sweep of another {' and '.join(of)}; give another --output")
            write_atomically(file, text + "\n")


def sweep(run: Sweep, grid: Grid, select_on: Sweep | float = 0.5) -> None:
    """Score every protocol of a grid or list, write and print sweep.md, and plot the effects of the fields.

    Args:
        run: what is scored, and where.
        grid: see `read_grid` and `named_grid`.
        select_on: fraction of the sequences on which a protocol is chosen, in (0, 1); it is reported on the others. Or
            a sweep over other data: the grid is scored there, and the choice alone here, beside the base protocol.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    with process_group() as rank:
        whole = select_on if isinstance(select_on, Sweep) else run
        scored = whole.records(grid)
        if not scored:
            return
        if isinstance(select_on, Sweep):
            choice = _apply(run, scored[0], grid)
        else:
            choice = choose(scored, run.benchmark.protocol, select_on)
        if rank == 0:
            fields, plot = (*grid.varied, "stage", "stride"), run.output / "sweep.png"
            parts = [f"Data: {whole.benchmark.root}\n", grid_markdown(scored, run.score, fields)]
            parts += [choice_markdown(choice)] if choice else []
            drawn = [plot] if draw_effects(scored, run.score, plot, fields) else []
            _write("\n".join(parts).rstrip(), run.output / "sweep.md", *drawn)


def _apply(run: Sweep, best: Record, grid: Grid) -> Selection | None:
    """Score the best protocol of other data, and the base protocol, on the data of a run."""
    base, results = run.benchmark.protocol, best.run.results
    chosen = next(protocol for protocol in grid.protocols if record_of([best], protocol))
    own = Grid(tuple(dict.fromkeys((chosen, base))), {})
    found = replace(run, stages=[results["stage"]], strides=[results["stride"]]).records(own)
    here, there = record_of(found, chosen), record_of(found, base)
    return Selection(best, best.value, here.videos, there.videos if there else {}) if here and here.videos else None


def explain_protocols(run: Sweep, first: PropagationProtocol, second: PropagationProtocol) -> None:
    """Go from one protocol to another a field at a time, in both orders; write explain.md and a waterfall plot.

    Args:
        run: what is scored, and where; at one stage and stride.
        first: where the way begins.
        second: where it ends.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    paths = [protocol_path(first, second, backwards) for backwards in (False, True)]
    grid = Grid((first, *dict.fromkeys(protocol for path in paths for _, protocol in path)), {})
    with process_group() as rank:
        scored = run.records(grid)
        if scored and rank == 0:
            waterfalls, ends = [waterfall(scored, first, path) for path in paths], (first.name, second.name)
            draw_waterfalls(waterfalls, ends, run.score, plot := run.output / "explain.png")
            _write(path_markdown(waterfalls, *ends, run.score), run.output / "explain.md", plot)


def _write(text: str, file: Path, *plots: Path) -> None:
    """Write and print a text; print where it and its plots are."""
    write_atomically(file, text + "\n")
    print(f"{text}\n\n{', '.join(map(str, (file, *plots)))}")


@contextmanager
def process_group() -> Iterator[int]:
    """Join the processes that torchrun has started, where it has; yield the number of this one."""
    import torch
    import torch.distributed as dist

    starts = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if starts and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    if starts:
        dist.init_process_group("gloo")
    try:
        yield dist.get_rank() if dist.is_initialized() else 0
    finally:
        if starts:
            dist.destroy_process_group()


def read_scores(folders: Sequence[Path], score: str) -> list[Record]:
    """Read what the batches of a sweep left, the highest score first.

    Args:
        folders: folders of the batches, each with results.json and per_sequence.csv.
        score: key, for example `J&F-Mean`; where a benchmark gives it for single sequences only, their mean counts.

    Raises:
        ValueError: if a batch has no such score; one line.
    """
    found: list[Record] = []
    for run in map(read_run, folders):
        records = records_of(run, scores=[score])
        if not records:
            known = dict.fromkeys(key.rpartition("/")[2] for key in run.results["scores"])
            raise ValueError(f"{run.folder}: has no score {score!r}; it has {', '.join(known)}")
        found += records
    return sorted(found, key=lambda one: -one.value)


def _lock(folder: Path) -> FolderLock | None:
    """Return the lock of a batch; None where it has been run, or another process is running it."""
    try:
        lock = FolderLock(folder)
    except FolderInUse:
        print(f"{folder.name}: running elsewhere", flush=True)
        return None
    if (folder / "results.json").is_file():
        lock.release()
        return None
    return lock


def sweep_benchmark(config: str, root: str | None = None, limit: int | None = None, split: str = "") -> Any:
    """Return the benchmark by label propagation that a config names.

    Args:
        config: a file, or a name such as `benchmarks/davis.yaml`.
        root: root of the data, in place of the config's.
        limit: largest number of sequences.
        split: of the data, in place of the config's; empty: the config's.

    Raises:
        ValueError: if the config names several benchmarks, or one without label propagation or splits; one line.
    """
    found: list[Any] = list(benchmarks_of(config, root, limit))
    if len(found) > 1 or not hasattr(found[0], "protocols_like") or not hasattr(found[0], "protocol"):
        raise ValueError(f"{config}: a sweep takes one benchmark by label propagation")
    if hasattr(found[0], "predictions"):
        found[0].predictions = False
    if split and not hasattr(found[0], "split"):
        raise ValueError(f"{config}: {type(found[0]).__name__} has no splits")
    if split:
        found[0].split = split
    return found[0]


def _weights(network: Network) -> dict[str, Any]:
    """Return what tells two networks apart without building them: the content of a file, or name and seed."""
    path = Path(network.spec)
    if path.is_file():
        return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    seed = None if network.pretrained else network.seed
    return {"name": network.spec, "pretrained": network.pretrained, "seed": seed}


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr sweep", description=__doc__, parents=[common_flags()])
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    parser.add_argument(
        "--protocols", nargs="+", default=[], metavar="NAME", help="named protocols instead of a grid; all: every one"
    )
    parser.add_argument(
        "--vary",
        nargs="+",
        default=[],
        metavar="FIELD=V,V",
        help="values of fields: radius=6,12 (feature cells) topk=5,10",
    )
    parser.add_argument(
        "--explain", nargs=2, metavar=("A", "B"), help="from protocol A to B, one field at a time, in both orders"
    )
    parser.add_argument("--stages", nargs="+", help="stages of the features (default: the backbone's own)")
    parser.add_argument("--strides", nargs="+", type=positive, help="strides of the features")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    parser.add_argument(
        "--select-on",
        default=0.5,
        type=fraction_or_root,
        metavar="FRACTION|ROOT[@SPLIT]",
        help="what to select on: a fraction of the sequences (default: 0.5), or another data set of the same layout",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of untrained weights (default: 0)")
    parser.add_argument("--most", type=positive, default=MOST, metavar="N", help="largest grid (default: 500)")
    parser.add_argument("--at-once", type=positive, default=AT_ONCE, metavar="N", help="protocols a pass (default: 40)")
    parser.add_argument("--output", type=Path, default=Path("sweep"), help="folder of results (default: sweep)")
    flags = parser.parse_args(list(args))
    if flags.protocols and (flags.vary or flags.protocol):
        raise ValueError("--protocols: a list of named protocols takes neither --vary nor --protocol")
    if flags.explain and (flags.vary or flags.protocol or flags.protocols or flags.stages or flags.strides):
        raise ValueError("--explain A B: takes no other protocols; write stage and stride as SPEC@STAGE/STRIDE")

    from lightning_modules.checkpoints import allow_named

    allow_named(args)
    network = Network.read(flags.spec, flags.pretrained, flags.seed)
    benchmark = sweep_benchmark(flags.config, flags.root, flags.limit)
    stages, strides = flags.stages or [network.stage], flags.strides or [network.stride]
    run = Sweep(network, benchmark, flags.output, flags.score, stages, strides, flags.at_once)
    kind, like = type(benchmark).name, benchmark.protocols_like
    if flags.explain:
        explain_protocols(run, *(PropagationProtocol.named(name, kind, like) for name in flags.explain))
        return
    if flags.protocol is not None:
        benchmark.protocol = PropagationProtocol.named(flags.protocol, kind, like)
    if flags.protocols:
        grid = named_grid(flags.protocols, kind, like)
    else:
        grid = read_grid(benchmark.protocol, flags.vary, flags.most)
    select_on = flags.select_on
    if isinstance(select_on, str):
        root, _, split = select_on.partition("@")
        elsewhere = sweep_benchmark(flags.config, root, flags.limit, split)
        select_on = replace(run, benchmark=elsewhere, output=flags.output / "selection")
    sweep(run, grid, select_on)


def fraction_or_root(text: str) -> float | str:
    """Return the fraction that a flag gives, else its text.

    Raises:
        argparse.ArgumentTypeError: for a number that is no fraction.
    """
    try:
        number = float(text)
    except ValueError:
        return text
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"give a fraction between 0 and 1, or a folder, not {text}")
    return number
