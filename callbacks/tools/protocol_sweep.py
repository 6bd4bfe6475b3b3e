"""One backbone under many protocols, stages and strides: a grid, a list, or the way from one protocol to another."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from datamodules.reading.files import write_atomically
from datamodules.reading.guards import read_json
from lightning_modules.functional import PropagationProtocol

from ..benchmarks.ranks import Ranks
from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from ..results.records import Record, records_of
from ..results.stored import columns_of, read_run
from ..results.written import require_writable
from .comparison import Network, benchmarks_of
from .grid import AT_ONCE, Grid, ProtocolBatch, batches, protocol_path
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
        at_once: protocols that share one pass of the network.
        part: (k, n): run every n-th batch only, from the k-th on.

    Raises:
        ValueError: for a part that there is not, or a score that the benchmark is known not to give; one line.
    """

    network: Network
    benchmark: Any
    output: Path
    score: str = "J&F-Mean"
    at_once: int = AT_ONCE
    part: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not 1 <= self.part[0] <= self.part[1]:
            raise ValueError(f"part {self.part[0]}/{self.part[1]}: give K/N with K from 1 to N")
        by_sequence = set(columns_of(self.score)) <= set(self.benchmark.ranked_by)
        if self.benchmark.score_names and self.score not in self.benchmark.score_names and not by_sequence:
            known = dict.fromkeys((*self.benchmark.ranked_by, *self.benchmark.score_names))
            raise ValueError(f"--score {self.score}: {type(self.benchmark).__name__} has {', '.join(known)}")

    def records(
        self, grid: Grid, stages: Sequence[str | None] = (None,), strides: Sequence[int | None] = (None,)
    ) -> list[Record]:
        """Score protocols, a batch of them in one pass of the network.

        All processes that torchrun has started divide the sequences of every pass; only the first one prints.

        Args:
            grid: the protocols.
            stages: stages of the features; None is the network's own choice.
            strides: strides of the features; None is the network's own choice.

        Returns:
            A record for each protocol, stage and stride, the highest score first, on every rank; empty as long as
            batches are missing that another process runs.

        Raises:
            ValueError, OSError: for a user's mistake; one line.
        """
        planned = batches(grid, stages, strides, self.at_once)
        rank = dist.get_rank() if dist.is_initialized() else 0
        if rank == 0:
            require_writable(self.output)
            for line in grid.refused[:3]:
                print(f"left out: {line}")
            if len(grid.refused) > 3:
                print(f"left out: {len(grid.refused) - 3} more combinations that no protocol can have")
            passes = f"{len(planned)} passes of the network over {len(self.benchmark.sequences)} sequences"
            print(f"{len(grid.protocols)} protocols, {passes}", flush=True)
        self._claim(planned)
        encoder = None
        for batch in planned[self.part[0] - 1 :: self.part[1]]:
            with Ranks() as ranks:
                lock = _lock(self.output / batch.name) if rank == 0 else None
                ours = ranks.gather(lock is not None)[0]
            if ours:
                encoder = encoder or self.network.build()
                self._run(batch, encoder, lock)
        done = [folder for batch in planned if (folder := self.output / batch.name).joinpath("results.json").is_file()]
        if len(done) < len(planned) and rank == 0:
            print(f"{len(done)} of {len(planned)} batches are done; the table comes when all are")
        return read_scores(done, self.score) if len(done) == len(planned) else []

    def _run(self, batch: ProtocolBatch, encoder: Any, lock: FolderLock | None) -> None:
        """Run the protocols of a batch and release its lock, which the first rank holds."""
        benchmark = copy.copy(self.benchmark)
        benchmark.stage, benchmark.stride, benchmark.protocol = batch.stage, batch.stride, batch.protocols
        extractor = benchmark.extractor(encoder)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        began = time.perf_counter()
        try:
            benchmark.evaluate(extractor, self.output / batch.name, self.network.name)
        finally:
            if lock is not None:
                lock.release()
        if lock is not None:
            print(f"{batch.name}: {len(batch.protocols)} protocols, {time.perf_counter() - began:.0f} s", flush=True)

    def _claim(self, planned: Sequence[ProtocolBatch]) -> None:
        """Record in the folder what the results are made from, or check that it agrees with the record.

        Raises:
            ValueError: if the folder holds results of something else; one line.
        """
        record = self.output / SWEPT
        names = [sequence.name for sequence in self.benchmark.sequences]
        data = {"benchmark": self.benchmark.name, "data": self.benchmark.metadata(), "sequences": names}
        text = json.dumps({"network": _weights(self.network), **data}, indent=1, default=str)
        with Ranks() as ranks, ranks.together():
            if ranks.rank > 0:
                return
            lock = FolderLock(self.output, "give this sweep its own --output")  # two that start at once
            try:
                there = read_json(record, "remove the folder, or give another --output") if record.is_file() else None
                if not there and any((self.output / batch.name / "results.json").is_file() for batch in planned):
                    raise ValueError(f"{self.output}: holds results without a {SWEPT}; give another --output")
                if there is not None and there != (wanted := json.loads(text)):
                    of = [key for key in wanted if not isinstance(there, dict) or there.get(key) != wanted[key]]
                    raise ValueError(
                        f"{self.output}: holds a sweep of another {' and '.join(of)}; give another --output"
                    )
                write_atomically(record, text + "\n")
            finally:
                lock.release()


def sweep(
    run: Sweep,
    grid: Grid,
    stages: Sequence[str | None] = (None,),
    strides: Sequence[int | None] = (None,),
    select_on: Sweep | float = 0.5,
) -> None:
    """Score every protocol of a grid or list, write and print sweep.md, and plot the effects of the fields.

    Args:
        run: what is scored, and where.
        grid: see `read_grid` and `named_grid`.
        stages: see `Sweep.records`.
        strides: see `Sweep.records`.
        select_on: fraction of the sequences on which a protocol is chosen, in (0, 1); it is reported on the others. Or
            a sweep over other data: the grid is scored there, and the choice alone here, beside the base protocol.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    if not isinstance(select_on, Sweep) and not 0 < select_on < 1:
        raise ValueError(f"select_on {select_on:g}: give a fraction between 0 and 1")
    with process_group() as rank:
        if isinstance(select_on, Sweep):
            scored = select_on.records(grid, stages, strides)
            choice, data = _apply(run, scored[0], grid) if scored else None, select_on.benchmark.root
        else:
            scored = run.records(grid, stages, strides)
            choice, data = choose(scored, run.benchmark.protocol, select_on) if scored else None, run.benchmark.root
        if scored and rank == 0:
            fields, plot = (*grid.varied, "stage", "stride"), run.output / "sweep.png"
            parts = [
                f"Data: {data}\n",
                grid_markdown(scored, run.score, fields),
                *([choice_markdown(choice)] if choice else []),
            ]
            drawn = [plot] if draw_effects(scored, run.score, plot, fields) else []
            _write("\n".join(parts).rstrip(), run.output / "sweep.md", *drawn)


def _apply(run: Sweep, best: Record, grid: Grid) -> Selection | None:
    """Score the best protocol of other data, and the base protocol, on the data of a run."""
    base, results = run.benchmark.protocol, best.run.results
    chosen = next(protocol for protocol in grid.protocols if record_of([best], protocol))
    own = Grid(tuple(dict.fromkeys((chosen, base))), {})
    found = run.records(own, [results["stage"]], [results["stride"]])
    here, there = record_of(found, chosen), record_of(found, base)
    return Selection(best, best.value, here.videos, there.videos if there else {}) if here and here.videos else None


def explain_protocols(run: Sweep, first: PropagationProtocol, second: PropagationProtocol) -> None:
    """Go from one protocol to another a field at a time, in both orders; write explain.md and a waterfall plot.

    Args:
        run: what is scored, and where; the network by its own stage and stride.
        first: where the way begins.
        second: where it ends.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    paths = [protocol_path(first, second, backwards) for backwards in (False, True)]
    grid = Grid((first, *dict.fromkeys(protocol for path in paths for _, protocol in path)), {})
    with process_group() as rank:
        scored = run.records(grid, [run.network.stage], [run.network.stride])
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
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield dist.get_rank() if dist.is_initialized() else 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank()
    finally:
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
    if (folder / "results.json").is_file():
        return None
    try:
        lock = FolderLock(folder)
    except FolderInUse:
        print(f"{folder.name}: running elsewhere", flush=True)
        return None
    if (folder / "results.json").is_file():  # since we looked
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
    found: list[Any] = list(benchmarks_of(find_config(config), root, limit))
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
