"""One backbone under many protocols, stages and strides: a grid, a list, or the way from one protocol to another."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from datamodules.reading.files import write_atomically
from datamodules.reading.guards import read_json
from lightning_modules.functional import PropagationProtocol

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.ranks import Ranks
from ..benchmarks.results import require_writable
from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from ..results.records import Record, records_of
from ..results.stored import columns_of, read_run
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
    selection_elsewhere,
    waterfall,
)

SWEPT = "sweep.json"
"""File in the output that says which network and data its results are of."""


def sweep(
    network: Network,
    benchmark: Any,
    grid: Grid,
    output: str | Path = "sweep",
    stages: Sequence[str | None] = (None,),
    strides: Sequence[int | None] = (None,),
    score: str = "J&F-Mean",
    select_on: Any = 0.5,
    at_once: int = AT_ONCE,
    part: tuple[int, int] = (1, 1),
) -> None:
    """Score every protocol of a grid or list, write and print the table; what has left results is not run again.

    All processes that torchrun has started divide the sequences of every pass; only the first one prints and writes.

    Args:
        network: the backbone.
        benchmark: by label propagation; the protocol that it has is the one that the table compares with.
        grid: see `read_grid` and `named_grid`.
        output: folder.
        stages: stages of the features; None is the network's own choice.
        strides: strides of the features; None is the network's own choice.
        score: what is compared.
        select_on: fraction of the sequences on which a protocol is chosen, in (0, 1); it is reported on the others. Or
            a benchmark over other data: the grid is scored there, and the choice alone here, beside the base protocol.
        at_once: protocols that share one pass of the network.
        part: (k, n): run every n-th batch only, from the k-th on.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    elsewhere = isinstance(select_on, BenchmarkCallback)
    if not elsewhere and not 0 < select_on < 1:
        raise ValueError(f"select_on {select_on:g}: give a fraction between 0 and 1")
    output, base = Path(output), benchmark.protocol
    with process_group() as rank:
        place = output / "selection" if elsewhere else output
        scored = score_protocols(
            network, select_on if elsewhere else benchmark, grid, place, stages, strides, score, at_once, part
        )
        if not scored:
            return
        choice = None if elsewhere else choose(scored, base, float(select_on))
        if elsewhere:
            choice = _apply(network, benchmark, scored, grid, output, score)
        if rank == 0:
            fields = (*grid.varied, "stage", "stride")
            parts = [grid_markdown(scored, score, fields), *([choice_markdown(choice)] if choice else [])]
            text = "\n".join(parts).rstrip()
            write_atomically(output / "sweep.md", text + "\n")
            drawn = draw_effects(scored, score, output / "sweep.png", fields)
            print(f"{text}\n\n{output / 'sweep.md'}" + (f", {output / 'sweep.png'}" if drawn else ""))


def _apply(
    network: Network, benchmark: Any, scored: Sequence[Record], grid: Grid, output: Path, score: str
) -> Selection | None:
    """Score the best protocol of other data, and the base protocol, on the benchmark's own."""
    best = scored[0]
    chosen = next(protocol for protocol in grid.protocols if record_of([best], protocol))
    own = Grid(tuple(dict.fromkeys((chosen, benchmark.protocol))), {})
    features = best.run.results
    found = score_protocols(network, benchmark, own, output, [features["stage"]], [features["stride"]], score)
    return selection_elsewhere(best, record_of(found, chosen), record_of(found, benchmark.protocol)) if found else None


def explain(
    network: Network,
    benchmark: Any,
    first: PropagationProtocol,
    second: PropagationProtocol,
    output: str | Path = "sweep",
    score: str = "J&F-Mean",
    at_once: int = AT_ONCE,
) -> None:
    """Go from one protocol to another a field at a time, in both orders; write explain.md and a waterfall plot.

    Args:
        network: the backbone, by its own stage and stride.
        benchmark: by label propagation.
        first: where the way begins.
        second: where it ends.
        output: folder.
        score: what is plotted.
        at_once: protocols that share one pass of the network.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    output = Path(output)
    paths = [protocol_path(first, second, backwards) for backwards in (False, True)]
    protocols = dict.fromkeys(protocol for path in paths for _, protocol in path)
    with process_group() as rank:
        grid = Grid((first, *protocols), {})
        scored = score_protocols(network, benchmark, grid, output, [network.stage], [network.stride], score, at_once)
        if scored and rank == 0:
            waterfalls = [waterfall(scored, first, path) for path in paths]
            text = path_markdown(waterfalls, first.name, second.name, score)
            write_atomically(output / "explain.md", text + "\n")
            draw_waterfalls(waterfalls, (first.name, second.name), score, output / "explain.png")
            print(f"{text}\n\n{output / 'explain.md'}, {output / 'explain.png'}")


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


def score_protocols(
    network: Network,
    benchmark: Any,
    grid: Grid,
    output: Path,
    stages: Sequence[str | None] = (None,),
    strides: Sequence[int | None] = (None,),
    score: str = "J&F-Mean",
    at_once: int = AT_ONCE,
    part: tuple[int, int] = (1, 1),
) -> list[Record]:
    """Score protocols, a batch of them in one pass of the network; what has left results is not run again.

    The arguments are those of `sweep`.

    Returns:
        A record for each protocol, stage and stride, the highest score first, on every rank; empty as long as batches
        are missing that another process runs.

    Raises:
        ValueError: for a user's mistake, or if the results have no such score; one line.
    """
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"part {part[0]}/{part[1]}: give K/N with K from 1 to N")
    _require_score(benchmark, score)
    planned = batches(grid, stages, strides, at_once)
    rank = dist.get_rank() if dist.is_initialized() else 0
    if rank == 0:
        require_writable(output)
        for line in grid.refused[:3]:
            print(f"left out: {line}")
        if len(grid.refused) > 3:
            print(f"left out: {len(grid.refused) - 3} more combinations that no protocol can have")
        passes = f"{len(planned)} passes of the network over {len(benchmark.sequences)} sequences"
        print(f"{len(grid.protocols)} protocols, {passes}", flush=True)
    _claim(output, planned, {"network": _weights(network), **_data(benchmark)})
    encoder = None
    for batch in planned[part[0] - 1 :: part[1]]:
        folder = output / batch.name
        with Ranks() as ranks:
            lock = _lock(folder) if rank == 0 else None
            ours = ranks.gather(lock is not None)[0]
        if not ours:
            continue
        encoder = encoder or network.build()
        target: Any = copy.copy(benchmark)
        target.stage, target.stride, target.protocol = batch.stage, batch.stride, batch.protocols
        extractor = target.extractor(encoder)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        began = time.perf_counter()
        try:
            target.evaluate(extractor, folder, network.name)
        finally:
            if lock is not None:
                lock.release()
        if rank == 0:
            print(f"{batch.name}: {len(batch.protocols)} protocols, {time.perf_counter() - began:.0f} s", flush=True)
    done = [output / batch.name for batch in planned if (output / batch.name / "results.json").is_file()]
    if len(done) < len(planned):
        if rank == 0:
            print(f"{len(done)} of {len(planned)} batches are done; the table comes when all are")
        return []
    return read_scores(done, score)


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


def _require_score(benchmark: BenchmarkCallback, score: str) -> None:
    """Raise where a benchmark is known not to give a score."""
    by_sequence = set(columns_of(score)) <= set(benchmark.ranked_by)
    if benchmark.score_names and score not in benchmark.score_names and not by_sequence:
        known = dict.fromkeys((*benchmark.ranked_by, *benchmark.score_names))
        raise ValueError(f"--score {score}: {type(benchmark).__name__} has {', '.join(known)}")


def _weights(network: Network) -> dict[str, Any]:
    """Return what tells two networks apart without building them: the content of a file, or name and seed."""
    path = Path(network.spec)
    if path.is_file():
        with path.open("rb") as file:
            return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    seed = None if network.pretrained else network.seed
    return {"name": network.spec, "pretrained": network.pretrained, "seed": seed}


def _data(benchmark: BenchmarkCallback) -> dict[str, Any]:
    names = [sequence.name for sequence in benchmark.sequences]
    return {"benchmark": benchmark.name, "data": benchmark.metadata(), "sequences": names}


def _claim(output: Path, planned: Sequence[ProtocolBatch], made_from: dict[str, Any]) -> None:
    """Record what a sweep is made from in its folder, or check that it agrees with the record.

    Raises:
        ValueError: if the folder holds results of something else; one line.
    """
    record = output / SWEPT
    text = json.dumps(made_from, indent=1, default=str)
    with Ranks() as ranks, ranks.together():
        if ranks.rank > 0:
            return
        lock = FolderLock(output, "give this sweep its own --output")  # two that start at once
        try:
            there = read_json(record, "remove the folder, or give another --output") if record.is_file() else None
            unknown = [batch for batch in planned if (output / batch.name / "results.json").is_file() and not there]
            if unknown:
                raise ValueError(f"{output}: holds results without a {SWEPT}; give another --output")
            if there is not None and there != (wanted := json.loads(text)):
                of = [key for key in wanted if not isinstance(there, dict) or there.get(key) != wanted[key]]
                raise ValueError(f"{output}: holds a sweep of another {' and '.join(of)}; give another --output")
            write_atomically(record, text + "\n")
        finally:
            lock.release()
