"""One backbone under a grid or list of protocols, stages and strides, and the score of each."""

import argparse
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from datamodules.reading.writing import write_whole
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.short_names import SHORT_NAMES
from lightning_modules.functional import PropagationProtocol

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.ranks import Ranks
from ..benchmarks.results import require_writable
from ..command_line.configs import find_config
from ..stored_results import read_results
from .comparison import benchmarks_of
from .effects import choose, draw, grid_markdown, read_scores
from .grid import AT_ONCE, MOST, Grid, ProtocolBatch, batches, named_grid, read_grid


def sweep(flags: argparse.Namespace) -> None:
    """Score every protocol of a grid or list, write and print the table; what has left results is not run again.

    All processes that torchrun has started divide the sequences of every pass; the first of them speaks and writes.

    Args:
        flags: those of `vidcorr sweep`.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    if not 0 < flags.select_on < 1:
        raise ValueError(f"--select-on {flags.select_on:g}: give a fraction between 0 and 1")
    if flags.protocols and (flags.vary or flags.protocol):
        raise ValueError("--protocols: a list of named protocols takes neither --vary nor --protocol")
    benchmark: Any = _benchmark(flags.config, flags.root, flags.limit)
    if flags.protocol is not None:
        benchmark.protocol = benchmark.propagation_protocol(flags.protocol)
    base = benchmark.protocol
    if flags.protocols:
        grid = named_grid(flags.protocols, type(benchmark).name, benchmark.protocols_like)
    else:
        grid = read_grid(base, flags.vary, flags.most or MOST)
    planned = batches(grid, flags.stages, flags.strides, flags.at_once or AT_ONCE)
    part = _part(flags.part, len(planned))
    with process_group() as rank:
        if rank == 0:
            require_writable(flags.output)
            _announce(grid, len(planned), len(benchmark.sequences))
        folders = run_batches(planned, part, benchmark, flags, rank)
    if rank == 0 and len(folders) < len(planned):
        print(f"{len(folders)} of {len(planned)} batches are done; the table comes when all are")
    elif rank == 0:
        _write_table(folders, base, (*grid.varied, "stage", "stride"), flags)


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


def run_batches(
    planned: Sequence[ProtocolBatch], mine: range, benchmark: Any, flags: argparse.Namespace, rank: int = 0
) -> list[Path]:
    """Run the batches that have left no results yet; return the folders of all that have.

    Args:
        planned: all batches.
        mine: numbers of those to run here.
        benchmark: gets the protocols of each batch in turn.
        flags: of the command.
        rank: of this process.

    Raises:
        ValueError: if a batch is there of another backbone or of other sequences; one line.
    """
    folders = [flags.output / batch.name for batch in planned]
    with Ranks() as ranks:
        with ranks.together():
            for folder in folders:
                _require_same(folder, flags.spec, len(benchmark.sequences))
            waiting = [number for number in mine if not (folders[number] / "results.json").is_file()]
        waiting = ranks.gather(waiting)[0]
    if waiting:
        torch.manual_seed(flags.seed)
        short = SHORT_NAMES.get(flags.spec)
        encoder: Any = build_encoder(short.spec if short else flags.spec, bool(short) or flags.pretrained)
    for count, number in enumerate(waiting, start=1):
        batch = planned[number]
        if rank == 0:
            print(f"[{count}/{len(waiting)}] {batch.name}: {len(batch.protocols)} protocols", flush=True)
        benchmark.stage, benchmark.stride, benchmark.protocol = batch.stage, batch.stride, batch.protocols
        extractor = benchmark.extractor(encoder)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        began = time.perf_counter()
        benchmark.evaluate(extractor, folders[number], flags.spec)
        if rank == 0:
            print(f"{time.perf_counter() - began:.0f} s", flush=True)
    return [folder for folder in folders if (folder / "results.json").is_file()]


def _benchmark(config: str, root: str | None, limit: int | None) -> BenchmarkCallback:
    found = benchmarks_of(find_config(config), root, limit)
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


def _write_table(
    folders: Sequence[Path], base: PropagationProtocol, fields: Collection[str], flags: argparse.Namespace
) -> None:
    scored = read_scores(folders, flags.score)
    text = grid_markdown(scored, flags.score, choose(scored, base, flags.select_on), fields=fields)
    write_whole(flags.output / "sweep.md", text + "\n")
    drawn = draw(scored, flags.score, flags.output / "sweep.png", fields)
    print(f"{text}\n\n{flags.output / 'sweep.md'}" + (f", {flags.output / 'sweep.png'}" if drawn else ""))


def _require_same(folder: Path, spec: str, sequences: int) -> None:
    """Raise where a finished batch is another backbone's, or over another number of sequences."""
    if not (folder / "results.json").is_file():
        return
    results = read_results(folder / "results.json")
    if (found := (results.get("network"), results.get("sequences"))) != (spec, sequences):
        raise ValueError(
            f"{folder}: holds results of {found[0]} over {found[1]} sequences, this sweep is of {spec} over "
            f"{sequences}; give another --output"
        )


def _part(text: str, number: int) -> range:
    """Return the numbers of the batches of `K/N`."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"--part {text}: write K/N with K from 1 to N")
    return range(int(part) - 1, number, int(parts))
