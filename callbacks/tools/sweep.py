"""Score one backbone under many protocols at once: a grid of their fields, or the way from one to another."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

from datamodules.reading.files import write_atomically
from datamodules.reading.guards import read_json
from lightning_modules.functional import PropagationProtocol

from ..command_line.configs import positive
from ..folder_lock import FolderInUse, FolderLock
from ..results.records import Record, read_scores
from ..results.stored import MEANS_OF
from ..results.written import require_writable
from . import sweep_findings as findings
from .compare import Network, benchmarks_of, common_flags
from .grid import AT_ONCE, MOST, batches, named_grid, protocol_path, read_grid


@dataclass(frozen=True)
class Sweep:
    """A network and a benchmark under many protocols, with the folder of the results; what is there is not run again.

    Args:
        views: the network, once for each stage and stride of its features.
        benchmark: by label propagation; the protocol that it has is the one that findings compare with.
        output: folder.
        score: what is compared.
        at_once: protocols that share one pass of the network.

    Raises:
        ValueError: for a score that the benchmark is known not to give; one line.
    """

    views: Sequence[Network]
    benchmark: Any
    output: Path
    score: str = "J&F-Mean"
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        by_sequence = set(MEANS_OF.get(self.score, (self.score,))) <= set(self.benchmark.ranked_by)
        if self.benchmark.score_names and self.score not in self.benchmark.score_names and not by_sequence:
            known = dict.fromkeys((*self.benchmark.ranked_by, *self.benchmark.score_names))
            raise ValueError(f"--score {self.score}: {type(self.benchmark).__name__} has {', '.join(known)}")

    def records(self, protocols: Sequence[PropagationProtocol]) -> list[Record]:
        """Score protocols, a batch of them in one pass of the network.

        All processes that torchrun has started divide the sequences of every pass.

        Args:
            protocols: all different.

        Returns:
            A record for each protocol and view, the highest score first, on every rank; empty as long as batches are
            missing that another process runs.

        Raises:
            ValueError, OSError: for a user's mistake; one line.
        """
        from ..benchmarks.ranks import Ranks

        planned = {self.output / _name(*each): each for each in product(self.views, batches(protocols, self.at_once))}
        encoder = None
        with Ranks() as ranks:
            with ranks.together():
                if ranks.rank == 0:
                    self._claim()
                    passes = f"{len(planned)} passes of the network over {len(self.benchmark.sequences)} sequences"
                    print(f"{len(protocols)} protocols, {passes}", flush=True)
            for folder, (view, batch) in planned.items():
                lock = _lock(folder) if ranks.rank == 0 else None
                if ranks.gather(lock is not None)[0]:
                    benchmark, encoder, began = copy.copy(self.benchmark), encoder or view.build(), time.perf_counter()
                    benchmark.protocol = batch
                    with lock or nullcontext():
                        view.evaluate(benchmark, encoder, folder)
                    print(f"{folder.name}: {len(batch)} protocols, {time.perf_counter() - began:.0f} s", flush=True)
        done = [folder for folder in planned if (folder / "results.json").is_file()]
        if len(done) < len(planned):
            print(f"{len(done)} of {len(planned)} batches are done; the table comes when all are")
            return []
        return sorted(read_scores(done, self.score), key=lambda one: -one.value)

    def _claim(self) -> None:
        """Record network and data of the results in sweep.json, or check that they agree with the record.

        Raises:
            OSError: if the folder cannot be written.
            ValueError: if it holds results of something else; one line.
        """
        require_writable(self.output)
        network, path = self.views[0], Path(self.views[0].spec)
        seed = None if network.pretrained else network.seed
        weights = {"name": network.spec, "pretrained": network.pretrained, "seed": seed}
        if path.is_file():  # its content tells it from another without building them
            weights = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        names = [sequence.name for sequence in self.benchmark.sequences]
        data = {"benchmark": self.benchmark.name, "data": self.benchmark.metadata(), "sequences": names}
        text = json.dumps({"network": weights, **data}, indent=1, default=str)
        with FolderLock(self.output, "give this sweep its own --output"):  # two that start at once
            file = self.output / "sweep.json"
            advice = "remove the folder, or give another --output"
            if file.is_file() and read_json(file, advice) != json.loads(text):
                raise ValueError(f"{self.output}: holds a sweep of another network or of other data; {advice}")
            write_atomically(file, text + "\n")


def sweep(
    run: Sweep, protocols: Sequence[PropagationProtocol], fields: Sequence[str] = (), select_on: Sweep | float = 0.5
) -> None:
    """Score every protocol of a grid or list, write and print sweep.md, and plot the effects of the fields.

    Args:
        run: what is scored, and where.
        protocols: see `read_grid` and `named_grid`.
        fields: that a grid varies, whose effects are shown.
        select_on: fraction of the sequences on which a protocol is chosen, in (0, 1); it is reported on the others. Or
            a sweep over other data: the grid is scored there, and the choice alone here, beside the base protocol.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    with process_group() as rank:
        whole = select_on if isinstance(select_on, Sweep) else run
        scored = whole.records(protocols)
        if not scored:
            return
        if isinstance(select_on, Sweep):
            choice = _apply(run, scored[0], protocols)
        else:
            choice = findings.choose(scored, run.benchmark.protocol, select_on)
        if rank == 0:
            found = findings.effects(scored, (*fields, "stage", "stride"))
            parts = [f"Data: {whole.benchmark.root}\n", findings.grid_markdown(scored, run.score, found)]
            parts += [findings.choice_markdown(choice)] if choice else []
            plots = [run.output / "sweep.png"] if found else []
            if plots:
                findings.draw_effects(found, run.score, *plots)
            _write("\n".join(parts).rstrip(), run.output / "sweep.md", *plots)


def _apply(run: Sweep, best: Record, protocols: Sequence[PropagationProtocol]) -> findings.Selection | None:
    """Score the best protocol of other data, and the base protocol, on the data of a run."""
    base, results = run.benchmark.protocol, best.run.results
    chosen = next(protocol for protocol in protocols if findings.record_of([best], protocol))
    view = replace(run.views[0], stage=results["stage"], stride=results["stride"])
    found = replace(run, views=[view]).records(list(dict.fromkeys((chosen, base))))
    here, there = findings.record_of(found, chosen), findings.record_of(found, base)
    if here is None or not here.videos:
        return None
    return findings.Selection(best, best.value, here.videos, there.videos if there else {})


def explain_protocols(run: Sweep, first: PropagationProtocol, second: PropagationProtocol) -> None:
    """Go from one protocol to another a field at a time, in both orders; write explain.md and a waterfall plot.

    Args:
        run: what is scored, and where; one view.
        first: where the way begins.
        second: where it ends.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    paths = [protocol_path(first, second, backwards) for backwards in (False, True)]
    with process_group() as rank:
        scored = run.records([first, *dict.fromkeys(protocol for path in paths for _, protocol in path)])
        if scored and rank == 0:
            waterfalls, ends = [findings.waterfall(scored, first, path) for path in paths], (first.name, second.name)
            findings.draw_waterfalls(waterfalls, ends, run.score, plot := run.output / "explain.png")
            _write(findings.path_markdown(waterfalls, ends, run.score), run.output / "explain.md", plot)


def _write(text: str, file: Path, *plots: Path) -> None:
    """Write and print a text; print where it and its plots are."""
    write_atomically(file, text + "\n")
    print(f"{text}\n\n{', '.join(map(str, (file, *plots)))}")


@contextmanager
def process_group() -> Iterator[int]:
    """Join the processes that torchrun has started, where it has; yield the number of this one.

    All but the first print nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        rank = dist.get_rank()
        with redirect_stdout(StringIO()) if rank else nullcontext():
            yield rank
    finally:
        dist.destroy_process_group()


def _name(view: Network, protocols: Sequence[PropagationProtocol]) -> str:
    """Return the name of a batch's folder: stage, stride and a hash of the protocols."""
    digests = " ".join(protocol.digest() for protocol in protocols)
    features = f"{view.stage or 'default'}-stride-{view.stride or 'default'}".replace("/", "_")
    return f"{features}-{hashlib.sha256(digests.encode()).hexdigest()[:8]}"


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


def sweep_benchmark(config: str, **changes: Any) -> Any:
    """Return the benchmark by label propagation that a config names.

    Args:
        config: a file, or a name such as `benchmarks/davis.yaml`.
        **changes: of its arguments, see `benchmarks_of`.

    Raises:
        ValueError: if the config names several benchmarks, or one without label propagation or such an argument; one
            line.
    """
    benchmark, *others = benchmarks_of(config, **changes)
    if others or not isinstance(getattr(benchmark, "protocol", None), PropagationProtocol):
        raise ValueError(f"{config}: a sweep takes one benchmark by label propagation")
    benchmark.predictions = False
    return benchmark


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr sweep", description=__doc__, parents=[common_flags()])
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    several: dict[str, Any] = {"nargs": "+", "default": []}
    parser.add_argument("--protocols", **several, metavar="NAME", help="named protocols, not a grid; all: every one")
    parser.add_argument("--vary", **several, metavar="FIELD=V,V", help="values of fields: radius=6,12 topk=5,10")
    parser.add_argument("--explain", nargs=2, metavar=("A", "B"), help="from protocol A to B, one field at a time")
    parser.add_argument("--stages", nargs="+", help="stages of the features (default: the backbone's own)")
    parser.add_argument("--strides", nargs="+", type=positive, help="strides of the features")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    choice = "what to select on: a fraction of the sequences (default: 0.5), or another data set of the same layout"
    parser.add_argument("--select-on", default="0.5", metavar="FRACTION|ROOT[@SPLIT]", help=choice)
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
    stages, strides = flags.stages or [network.stage], flags.strides or [network.stride]
    views = [replace(network, stage=stage, stride=stride) for stage, stride in product(stages, strides)]
    benchmark = sweep_benchmark(flags.config, root=flags.root, limit_sequences=flags.limit, protocol=flags.protocol)
    run = Sweep(views, benchmark, flags.output, flags.score, flags.at_once)
    kind, like = type(benchmark).name, benchmark.protocols_like
    if flags.explain:
        explain_protocols(run, *(PropagationProtocol.named(name, kind, like) for name in flags.explain))
        return
    if flags.protocols:
        protocols = named_grid(flags.protocols, kind, like)
    else:
        protocols = read_grid(benchmark.protocol, flags.vary, flags.most)
    select_on: Sweep | float
    if re.fullmatch(r"0?\.\d*[1-9]\d*", flags.select_on):
        select_on = float(flags.select_on)
    else:
        root, _, split = flags.select_on.partition("@")
        elsewhere = sweep_benchmark(flags.config, root=root, limit_sequences=flags.limit, split=split or None)
        select_on = replace(run, benchmark=elsewhere, output=flags.output / "selection")
    sweep(run, protocols, [text.partition("=")[0] for text in flags.vary], select_on)
