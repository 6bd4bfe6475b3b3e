"""Times and memory of vidcorr on a GPU in one command, as one Markdown table; what fails is a row too.

    python -m tests.speed.gpu                                  # all, on the first GPU
    python -m tests.speed.gpu --only training                  # a part of it
    python -m tests.speed.gpu --source VIDEOS --davis DAVIS    # training and DAVIS on real data
    python -m tests.speed.gpu --device cpu --small             # does the command run at all

Parts: `training` (Lightning's step of each method beside the bare passes of its backbone on the same frames; with
`--source` the share of the time spent waiting for data), `propagation` (a step beside the dense method) and
`benchmarks` (each one on generated data, from files to scores). Seconds are those of the clock, minimum and median;
memory is the largest that tensors took, and the reading starts after a first run.
"""

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

import callbacks
from datamodules import VideoDataModule
from datamodules.synthetic import write_davis, write_otb, write_tap_vid
from lightning_modules.backbones import build_encoder, build_feature_extractor
from lightning_modules.functional import PointProtocol
from tests.helpers.synthetic_layouts import write_jhmdb, write_vip, write_youtube_vos
from tests.speed.propagation import time_random
from tests.speed.timing import flags, in_words
from tests.speed.training_step import R18, TINY, Beside, InMemory, methods, timed_trainer

COLUMNS = ("part", "what", "minimum", "median", "beside it", "memory")
MODES = {"fp32": ("32-true", False), "bf16": ("bf16-mixed", False), "bf16 compiled": ("bf16-mixed", True)}


class Row(NamedTuple):
    """One line of the table: what was measured, seconds of each repeat, words beside, bytes (0: not known)."""

    what: str
    seconds: list[float]
    beside: str = ""
    memory: int = 0

    def cells(self) -> list[str]:
        times = [in_words(kind(self.seconds)) for kind in (min, median)]
        return [self.what, *times, self.beside, f"{self.memory / 2**20:.0f} MB" if self.memory else ""]


def forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def peak() -> int:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def train(given: argparse.Namespace) -> Iterator[Row]:
    """A training step of each method beside its backbone alone, or with real data."""
    for name, method in methods("tiny" if given.small else "paper").items():
        if given.source and "clip" not in method.batch:
            continue
        for mode, (precision, compiled) in MODES.items():
            if (compiled and not method.compiles) or mode not in given.modes:
                continue
            data: Any = InMemory(method.batch)
            if given.source:
                videos, frames, _, size, _ = method.batch["clip"].shape
                data = VideoDataModule(
                    given.source, batch_size=videos, frames=frames, size=size, validation_fraction=0.0, repeat=1000
                )
            beside = Beside(given.warm_up, precision, bare=not given.source)
            trainer = timed_trainer(given.device, precision, given.warm_up + given.repeats, beside)
            forget_peak()
            trainer.fit(method.module(compiled), datamodule=data)
            steps = beside.steps.clock
            if given.source:
                waited = beside.waited[-1] - beside.waited[-1 - len(steps)]
                words = f"{waited / sum(steps):.0%} of the time waiting for data"
            else:
                bare = min(beside.bare.clock)
                words = f"backbone alone {in_words(bare)}, {bare / min(steps):.0%} of the step"
            yield Row(f"{name}, {mode}", steps, words, peak())
            torch._dynamo.reset()


def propagate(given: argparse.Namespace) -> Iterator[Row]:
    """A step of propagation with a full window, and the dense method."""
    cases = [((60, 107), 256, 20, 12), ((60, 107), 1024, 20, 12), ((120, 214), 64, 20, 14)]
    for case in [((12, 16), 16, 4, 3)] if given.small else cases:
        what, times, agreement = time_random(*case, 1.0 if given.small else 0.05, given.repeats, given.device)
        dense, own = (min(times[name].clock) for name in ("dense", "vidcorr"))
        words = f"dense {in_words(dense)}, {dense / own:.3g} times as long; {agreement}"
        yield Row(what, times["vidcorr"].clock, words)


def benchmarks(given: argparse.Namespace) -> Iterator[Row]:
    """Each benchmark on generated data, from files to scores and files, after one run to warm up."""
    count, frames, size = (1, 6, (64, 64)) if given.small else (2, 40, (480, 854))
    spec = TINY if given.small else R18
    small = {"input_size": (64, 64)} if given.small else {}
    low, rules = {"backbone_precision": "bfloat16"}, PointProtocol.sources()
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        davis = write_davis(at / "davis", count, frames=frames, size=size)
        youtube = write_youtube_vos(at / "youtube_vos", 1, valid=count, frames=frames + 1, size=size)
        joints = write_jhmdb(at / "jhmdb", count, frames=frames)
        points = write_tap_vid(at / "tap_vid", count, frames=frames)
        boxes = write_otb(at / "otb", count, frames=frames)
        runs: dict[str, Any] = {
            "davis": callbacks.DavisBenchmark(davis, split=None),
            "davis, bfloat16": callbacks.DavisBenchmark(davis, split=None, changes=low),
            "youtube_vos": callbacks.YoutubeVosBenchmark(youtube),
            "vos": callbacks.VosBenchmark(davis, frames="JPEGImages/480p", masks="Annotations/480p"),
            "jhmdb": callbacks.JhmdbBenchmark(joints, changes=small),
            "jhmdb, bfloat16": callbacks.JhmdbBenchmark(joints, changes=small | low),
            "vip": callbacks.VipBenchmark(write_vip(at / "vip", count, frames=frames), changes=small),
            **{f"tap_vid, {name}": callbacks.TapVidBenchmark(points, protocol=name) for name in rules},
            "otb": callbacks.OtbBenchmark(boxes, version=None),
        }
        if given.davis:
            runs["davis, real data"] = callbacks.DavisBenchmark(given.davis)
        for name, benchmark in runs.items():
            extractor = (
                benchmark.extractor(build_encoder(spec))
                if name.startswith("otb")
                else build_feature_extractor(spec, "res4", 8)
            ).to(given.device)
            yield run_benchmark(name, benchmark, extractor, at / "out" / re.sub(r"\W+", "_", name))


def run_benchmark(name: str, benchmark: Any, extractor: Any, out: Path) -> Row:
    """Run a benchmark twice; the second run counts, a frame."""
    count = sum(sequence.num_frames for sequence in benchmark.sequences)
    for _ in range(2):
        forget_peak()
        began = time.perf_counter()
        benchmark.evaluate(extractor, out)
        seconds = time.perf_counter() - began
    spent = json.loads((out / "results.json").read_text())["seconds_of_rank_0"]
    words = ", ".join(f"{kind} {value / count * 1e3:.3g}" for kind, value in spent.items())
    return Row(f"{name}: a frame of {count}", [seconds / count], f"ms: {words}", peak())


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "training": train,
    "propagation": propagate,
    "benchmarks": benchmarks,
}


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="may be repeated; else all parts")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny networks and images, two repeats")
    parser.add_argument("--repeats", type=int, default=None, help="of what is timed; 20, with --small 2")
    parser.add_argument("--warm-up", type=int, default=None, help="steps before; 10, with --small 1")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES), help="of training")
    parser.add_argument("--source", help="videos to train on; else noise in memory")
    parser.add_argument("--davis", help="root of DAVIS-2017")
    given = parser.parse_args()
    given.repeats = given.repeats or (2 if given.small else 20)
    given.warm_up = given.warm_up or (1 if given.small else 10)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --small shows whether the command runs")
    print(f"{machine(given.device)}, torch {torch.__version__}, {' '.join(sys.argv[1:]) or 'all'}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    broken = False
    table = sys.stdout
    for part in given.only or PARTS:
        try:
            with redirect_stdout(sys.stderr):  # what benchmarks say of their own
                for row in PARTS[part](given):
                    print(f"| {' | '.join([part, *row.cells()])} |", file=table, flush=True)
        except Exception as error:
            broken = True
            traceback.print_exc()
            told = " ".join(f"{type(error).__name__}: {error}".split()).replace("|", "/")
            print(f"| {part} | FAILED | | | {told[:300]} | |", flush=True)
    sys.exit(broken)


def machine(device: str) -> str:
    if device == "cpu":
        return f"CPU, {torch.get_num_threads()} thread(s)"
    properties = torch.cuda.get_device_properties(0)
    capability = f"{properties.major}.{properties.minor}"
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GB, {capability}, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    main()
