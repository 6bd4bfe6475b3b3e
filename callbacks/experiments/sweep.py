"""One backbone under a grid of protocols, stages and strides, and the score of each."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from datamodules.reading.writing import write_whole
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.short_names import SHORT_NAMES

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.results import require_writable
from ..command_line.configs import find_config
from .comparison import benchmarks_of
from .effects import choose, draw, markdown, read_scores
from .grid import AT_ONCE, MOST, Batch, batches, read_grid


def sweep(flags: argparse.Namespace) -> None:
    """Score every protocol of a grid, write and print the table.

    Args:
        flags: those of `vidcorr sweep`.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    if not 0 < flags.select_on < 1:
        raise ValueError(f"--select-on {flags.select_on:g}: give a fraction between 0 and 1")
    benchmark: Any = _benchmark(flags.config, flags.root, flags.limit)
    if flags.protocol is not None:
        benchmark.protocol = benchmark.propagation_protocol(flags.protocol)
    base = benchmark.protocol
    grid = read_grid(base, flags.vary, flags.most or MOST)
    for line in grid.refused[:3]:
        print(f"left out: {line}")
    planned = batches(grid, flags.stages, flags.strides, flags.at_once or AT_ONCE)
    require_writable(flags.output)
    sequences = len(benchmark.sequences)
    print(
        f"{len(grid.protocols)} protocols, {len(planned)} passes of the network over {sequences} sequences", flush=True
    )
    folders = run(planned, _part(flags.part, len(planned)), benchmark, flags)
    if len(folders) < len(planned):
        print(f"{len(folders)} of {len(planned)} batches are done; the table comes when all are")
        return
    scored = read_scores(folders, flags.score)
    choice = choose(scored, base, flags.select_on)
    text = markdown(scored, flags.score, choice)
    write_whole(flags.output / "sweep.md", text + "\n")
    draw(scored, flags.score, flags.output / "sweep.png")
    print(f"{text}\n\n{flags.output / 'sweep.md'}, {flags.output / 'sweep.png'}")


def run(planned: Sequence[Batch], mine: range, benchmark: Any, flags: argparse.Namespace) -> list[Path]:
    """Run the batches that have left no results yet; return the folders of all that have.

    Args:
        planned: all batches.
        mine: numbers of those to run here.
        benchmark: gets the protocols of each batch in turn.
        flags: of the command.
    """
    folders = [flags.output / batch.name for batch in planned]
    waiting = [number for number in mine if not (folders[number] / "results.json").is_file()]
    if waiting:
        torch.manual_seed(flags.seed)
        short = SHORT_NAMES.get(flags.spec)
        encoder: Any = build_encoder(short.spec if short else flags.spec, bool(short) or flags.pretrained)
    for count, number in enumerate(waiting, start=1):
        batch = planned[number]
        print(f"[{count}/{len(waiting)}] {batch.name}: {len(batch.protocols)} protocols", flush=True)
        benchmark.stage, benchmark.stride, benchmark.protocol = batch.stage, batch.stride, batch.protocols
        extractor = benchmark.extractor(encoder)
        if torch.cuda.is_available():
            extractor = extractor.cuda()
        began = time.perf_counter()
        benchmark.evaluate(extractor, folders[number], flags.spec)
        print(f"{time.perf_counter() - began:.0f} s", flush=True)
    return [folder for folder in folders if (folder / "results.json").is_file()]


def _benchmark(config: str, root: str | None, limit: int | None) -> BenchmarkCallback:
    found = benchmarks_of(find_config(config), root, limit)
    if len(found) > 1 or not hasattr(found[0], "protocols_like") or not hasattr(found[0], "protocol"):
        raise ValueError(f"{config}: a sweep takes one benchmark by label propagation")
    if hasattr(found[0], "predictions"):
        found[0].predictions = False
    return found[0]


def _part(text: str, number: int) -> range:
    """Return the numbers of the batches of `K/N`."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"--part {text}: write K/N with K from 1 to N")
    return range(int(part) - 1, number, int(parts))
