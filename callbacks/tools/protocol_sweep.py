"""One backbone under a grid or list of protocols, stages and strides, and the score of each."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from datamodules.reading.files import write_atomically
from datamodules.reading.guards import read_json
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.short_names import SHORT_NAMES

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.ranks import Ranks
from ..benchmarks.results import require_writable
from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from ..results.statistics import columns_of
from .comparison import benchmarks_of
from .grid import AT_ONCE, Grid, ProtocolBatch, batches
from .sweep_findings import choose, draw, grid_markdown, read_scores

SWEPT = "sweep.json"
"""File in the output that says which network and data its results are of."""


def sweep(
    spec: str,
    benchmark: BenchmarkCallback,
    grid: Grid,
    output: str | Path = "sweep",
    stages: Sequence[str | None] = (None,),
    strides: Sequence[int | None] = (None,),
    score: str = "J&F-Mean",
    select_on: float = 0.5,
    pretrained: bool = False,
    seed: int = 0,
    at_once: int = AT_ONCE,
    part: tuple[int, int] = (1, 1),
) -> None:
    """Score every protocol of a grid or list, write and print the table; what has left results is not run again.

    All processes that torchrun has started divide the sequences of every pass; only the first one prints and writes.

    Args:
        spec: the backbone, see `build_encoder`, or a short name such as `dino-b8`.
        benchmark: by label propagation; the protocol that it has is the one that the table compares with.
        grid: see `read_grid` and `named_grid`.
        output: folder.
        stages: stages of the features; None is the backbone's own choice.
        strides: strides of the features; None is the backbone's own choice.
        score: what is compared.
        select_on: fraction of the sequences on which a protocol is chosen, in (0, 1); it is reported on the others.
        pretrained: the library's own weights for timm and torchvision.
        seed: seed of the weights of a backbone that comes without.
        at_once: protocols that share one pass of the network.
        part: (k, n): run every n-th batch only, from the k-th on.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    if not 0 < select_on < 1:
        raise ValueError(f"select_on {select_on:g}: give a fraction between 0 and 1")
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"part {part[0]}/{part[1]}: give K/N with K from 1 to N")
    _require_score(benchmark, score)
    target: Any = copy.copy(benchmark)  # whose protocol changes from pass to pass
    base, output = target.protocol, Path(output)
    planned = batches(grid, stages, strides, at_once)
    mine = range(part[0] - 1, len(planned), part[1])
    short = SHORT_NAMES.get(spec)
    pretrained = bool(short) or pretrained

    def encoder() -> Any:
        torch.manual_seed(seed)
        return build_encoder(short.spec if short else spec, pretrained)

    with process_group() as rank:
        if rank == 0:
            require_writable(output)
            _announce(grid, len(planned), len(benchmark.sequences))
        _claim(output, planned, {"network": _weights(spec, pretrained, seed), **_data(benchmark)})
        folders = _run(planned, mine, target, output, spec, encoder, score)
    if rank == 0 and len(folders) < len(planned):
        print(f"{len(folders)} of {len(planned)} batches are done; the table comes when all are")
    elif rank == 0:
        scored, fields = read_scores(folders, score), (*grid.varied, "stage", "stride")
        text = grid_markdown(scored, score, choose(scored, base, select_on), fields=fields)
        write_atomically(output / "sweep.md", text + "\n")
        drawn = draw(scored, score, output / "sweep.png", fields)
        print(f"{text}\n\n{output / 'sweep.md'}" + (f", {output / 'sweep.png'}" if drawn else ""))


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


def _run(
    planned: Sequence[ProtocolBatch],
    mine: range,
    benchmark: Any,
    output: Path,
    spec: str,
    encoder: Callable[[], Any],
    score: str,
) -> list[Path]:
    """Run those of my batches that have left no results yet; return the folders of all batches that have.

    Raises:
        ValueError: if the first batch does not give the score for single sequences; one line.
    """
    folders = [output / batch.name for batch in planned]
    with Ranks() as ranks:
        rank = ranks.rank
        waiting = [number for number in mine if not (folders[number] / "results.json").is_file()]
        waiting = ranks.gather(waiting)[0]
    network = encoder() if waiting else None
    for count, number in enumerate(waiting, start=1):
        batch = planned[number]
        with Ranks() as ranks:
            lock = _lock(folders[number]) if rank == 0 else None
            mine_to_run = ranks.gather(lock is not None)[0]
        if rank == 0:
            state = f"{len(batch.protocols)} protocols" if mine_to_run else "running elsewhere"
            print(f"[{count}/{len(waiting)}] {batch.name}: {state}", flush=True)
        if not mine_to_run:
            continue
        benchmark.stage, benchmark.stride, benchmark.protocol = batch.stage, batch.stride, batch.protocols
        extractor = benchmark.extractor(network)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        began = time.perf_counter()
        try:
            benchmark.evaluate(extractor, folders[number], spec)
        finally:
            if lock is not None:
                lock.release()
        if rank == 0:
            print(f"{time.perf_counter() - began:.0f} s", flush=True)
        if count == 1:
            with Ranks() as ranks, ranks.together():
                if rank == 0:
                    read_scores([folders[number]], score)
    return [folder for folder in folders if (folder / "results.json").is_file()]


def _lock(folder: Path) -> FolderLock | None:
    """Return the lock of a batch; None where another process runs it, or has since it was planned."""
    try:
        lock = FolderLock(folder)
    except FolderInUse:
        return None
    if (folder / "results.json").is_file():
        lock.release()
        return None
    return lock


def sweep_benchmark(config: str, root: str | None = None, limit: int | None = None) -> Any:
    """Return the benchmark by label propagation that a config names, for `sweep`.

    Args:
        config: a file, or a name such as `benchmarks/davis.yaml`.
        root: root of the data, in place of the config's.
        limit: largest number of sequences.

    Raises:
        ValueError: if the config names several benchmarks, or one without label propagation; one line.
    """
    found = benchmarks_of(find_config(config), root, limit, "set --stages and --strides")
    if len(found) > 1 or not hasattr(found[0], "protocols_like") or not hasattr(found[0], "protocol"):
        raise ValueError(f"{config}: a sweep takes one benchmark by label propagation")
    if hasattr(found[0], "predictions"):
        found[0].predictions = False
    return found[0]


def _announce(grid: Grid, passes: int, sequences: int) -> None:
    for line in grid.refused[:3]:
        print(f"left out: {line}")
    if len(grid.refused) > 3:
        print(f"left out: {len(grid.refused) - 3} more combinations that no protocol can have")
    print(f"{len(grid.protocols)} protocols, {passes} passes of the network over {sequences} sequences", flush=True)


def _require_score(benchmark: BenchmarkCallback, score: str) -> None:
    """Raise where a benchmark is known not to give a score."""
    by_sequence = set(columns_of(score)) <= set(benchmark.ranked_by)
    if benchmark.score_names and score not in benchmark.score_names and not by_sequence:
        known = dict.fromkeys((*benchmark.ranked_by, *benchmark.score_names))
        raise ValueError(f"--score {score}: {type(benchmark).__name__} has {', '.join(known)}")


def _weights(spec: str, pretrained: bool, seed: int) -> dict[str, Any]:
    """Return what tells two networks apart without building them: the content of a file, or name and seed."""
    path = Path(spec)
    if path.is_file():
        with path.open("rb") as file:
            return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return {"name": spec, "pretrained": pretrained, "seed": None if pretrained else seed}


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
