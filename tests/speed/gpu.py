"""All that is to be known of a GPU in one command, as one Markdown table; what fails is a row too.

    python tests/speed/gpu.py                                  # all, on the first GPU
    python tests/speed/gpu.py --only training --only tests     # parts of it
    python tests/speed/gpu.py --device cpu --small             # does the command run at all

Parts: `device` (products in each precision, and copies), `training` (Lightning's step of each method beside the bare
passes of its backbone on the same frames), `propagation` (a step beside the dense method), `benchmarks` (each one on
generated data, from files to scores), `ddp` (two processes on the one device: equal weights, and the scores of one
process) and `tests` (those marked gpu). Seconds are those of the clock, minimum and median; memory is the largest that
tensors took, and the reading starts after a first run.
"""

import argparse
import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytorch_lightning as pl
import torch

from callbacks import (
    DavisBenchmark,
    JhmdbBenchmark,
    OtbBenchmark,
    TapVidBenchmark,
    VipBenchmark,
    VosBenchmark,
    YoutubeVosBenchmark,
)
from datamodules.synthetic import write_davis, write_otb, write_tap_vid
from lightning_modules import ContrastiveRandomWalk, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_encoder, build_feature_extractor
from lightning_modules.functional import PointProtocol
from tests.helpers.synthetic_layouts import write_jhmdb, write_vip, write_youtube_vos
from tests.speed import propagation
from tests.speed.training import MODES, R18, InMemory
from tests.speed.training_step import Beside

ROOT = Path(__file__).parents[2]
TINY = "tests.helpers.encoders:TinyResNet"
COLUMNS = ("part", "what", "minimum", "median", "beside it", "memory")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: was measured.
        seconds: of each repeat.
        beside: what it is compared with, in words.
        memory: bytes; 0 is not known.
    """

    what: str
    seconds: list[float]
    beside: str = ""
    memory: int = 0

    def cells(self) -> list[str]:
        times = [f"{in_words(1e3 * kind(self.seconds))} ms" for kind in (min, median)]
        return [self.what, *times, self.beside, f"{self.memory / 2**20:.0f} MB" if self.memory else ""]


def in_words(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


class Reading:
    """Seconds and memory of work on a device."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.device = torch.device(given.device)
        self.repeats = given.repeats

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def restart(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()

    def memory(self) -> int:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0

    def __call__(self, what: str, work: Callable[[], Any], beside: Callable[[float], str] = lambda s: "") -> Row:
        """Time some work after a first run; `beside` makes words of the smallest seconds."""
        work()
        self.restart()
        seconds = []
        for _ in range(self.repeats):
            began = time.perf_counter()
            work()
            self.synchronise()
            seconds.append(time.perf_counter() - began)
        return Row(what, seconds, beside(min(seconds)), self.memory())


def read_device(given: argparse.Namespace) -> Iterator[Row]:
    """Products in each precision and copies, which everything else is bounded by."""
    reading, side = Reading(given), 256 if given.small else 8192
    for name, kind, precision in (
        ("float32", torch.float32, "highest"),
        ("TF32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "highest"),
    ):
        matrix = torch.randn(side, side, device=given.device, dtype=kind)
        torch.set_float32_matmul_precision(precision)
        yield reading(
            f"product of {side} x {side}, {name}",
            lambda matrix=matrix: matrix @ matrix,
            lambda seconds: f"{2 * side**3 / seconds / 1e12:.3g} TFLOP/s",
        )
    torch.set_float32_matmul_precision("highest")
    if given.device == "cuda":
        here = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
        there = here.cuda()
        rate = lambda seconds: f"{len(here) / seconds / 1e9:.3g} GB/s"  # noqa: E731
        yield reading("copy of 256 MB from pinned memory", lambda: there.copy_(here, non_blocking=True), rate)
        yield reading("copy of 256 MB to pinned memory", lambda: here.copy_(there, non_blocking=True), rate)


def methods(small: bool) -> dict[str, tuple[Callable[..., Any], dict[str, torch.Tensor], bool]]:
    """Return name → module of a method, a batch, and whether its backbone can be compiled; sizes of the papers."""
    videos, side, backbone = (4, 64, TINY) if small else (32, 224, R18)

    def pictures(*shape: int) -> torch.Tensor:
        return torch.randint(256, (*shape, 3, side, side), dtype=torch.uint8)

    index = torch.arange(videos)
    eight, two = pictures(videos, 2 if small else 8), pictures(videos, 2)
    pair = {"clip": two[:6], "video_index": index[:6]}
    liir = {"position_size": side // 2, "bank_frames": 4 if small else 1440}
    crops = {name: torch.randint(256, (8, 3, size, size), dtype=torch.uint8) for name, size in
             (("exemplar", 127), ("search", 255))}  # fmt: skip
    queue = {"queue_size": 64} if small else {}
    return {
        "VFSSimSiam": (lambda **more: VFSSimSiam(backbone, **more), {"clip": eight, "video_index": index}, True),
        "VFSMoCo": (lambda **more: VFSMoCo(backbone, **queue, **more), {"clip": two, "video_index": index}, True),
        "Liir, first phase": (lambda **more: Liir(**liir, **more), pair, True),
        "Liir, second phase": (lambda **more: Liir(**liir, warmup_epochs=0, **more), pair, True),
        "ContrastiveRandomWalk": (
            lambda **more: ContrastiveRandomWalk(backbone, **more),
            {"clip": pictures(2 if small else 20, 4)},
            True,
        ),
        "SiamFC": (lambda: SiamFC(backbone), crops, False),
        "LinearProbe": (
            lambda: LinearProbe(backbone, num_classes=1000),
            {"image": pictures(videos * 8), "label": torch.arange(videos * 8)},
            False,
        ),
    }


def train(given: argparse.Namespace) -> Iterator[Row]:
    """A training step of each method beside its backbone alone."""
    reading = Reading(given)
    for name, (make, batch, compiles) in methods(given.small).items():
        for mode, (precision, compiled) in MODES.items():
            if (compiled and not compiles) or mode not in given.modes:
                continue
            torch.manual_seed(0)
            module = make(compile=True) if compiled else make()
            beside = Beside(given.warm_up, precision)
            trainer = quiet_trainer(given, precision, given.warm_up + given.repeats, [beside])
            reading.restart()
            trainer.fit(module, datamodule=InMemory(batch=batch))
            steps, bare = ([clock for clock, _ in each] for each in (beside.steps, beside.bare))
            words = f"backbone alone {in_words(1e3 * min(bare))} ms, {min(bare) / min(steps):.0%} of the step"
            yield Row(f"{name}, {mode}", steps, words, reading.memory())
            torch._dynamo.reset()


def quiet_trainer(given: argparse.Namespace, precision: Any, steps: int, callbacks: list[Any], **more: Any) -> Any:
    return pl.Trainer(
        accelerator="gpu" if given.device == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_steps=steps,
        limit_val_batches=0,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )


def propagate(given: argparse.Namespace) -> Iterator[Row]:
    """A step of propagation with a full window, and the dense method."""
    cases = [((60, 107), 256, 20, 12), ((60, 107), 1024, 20, 12), ((120, 214), 64, 20, 14)]
    settings = argparse.Namespace(
        device=given.device, repeats=given.repeats, labels=3, part=1.0 if given.small else 0.05
    )
    for size, channels, context, radius in [((12, 16), 16, 4, 3)] if given.small else cases:
        found = propagation.measure(settings, size, channels, context, radius)
        dense, own = found["dense min"], found["own min"]
        words = f"dense {in_words(1e3 * dense)} ms, {dense / own:.3g} times as long"
        words += f"; within 1e-5: {found['within 1e-5']:.1%}"
        name = f"{size[0]} x {size[1]} cells, {channels} channels, {context + 1} references, radius {radius}"
        yield Row(name, [own, found["own"]], words, int(1e6 * found["extra MB"]))


def benchmarks(given: argparse.Namespace) -> Iterator[Row]:
    """Each benchmark on generated data, from files to scores and files, after one run to warm up."""
    count, frames, size = (1, 6, (64, 64)) if given.small else (2, 40, (480, 854))
    spec = TINY if given.small else R18
    small = {"changes": {"input_size": (64, 64)}} if given.small else {}
    low = {"changes": {**small.get("changes", {}), "backbone_precision": "bfloat16"}}
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        davis = write_davis(at / "davis", count, frames=frames, size=size)
        youtube = write_youtube_vos(at / "youtube_vos", 1, valid=count, frames=frames + 1, size=size)
        joints = write_jhmdb(at / "jhmdb", count, frames=frames)
        parts = write_vip(at / "vip", count, frames=frames)
        points = write_tap_vid(at / "tap_vid", count, frames=frames)
        boxes = write_otb(at / "otb", count, frames=frames)
        runs: dict[str, Any] = {
            "davis": DavisBenchmark(davis, split=None),
            "davis, bfloat16": DavisBenchmark(davis, split=None, changes={"backbone_precision": "bfloat16"}),
            "youtube_vos": YoutubeVosBenchmark(youtube),
            "vos": VosBenchmark(davis, frames="JPEGImages/480p", masks="Annotations/480p"),
            "jhmdb": JhmdbBenchmark(joints, **small),
            "jhmdb, bfloat16": JhmdbBenchmark(joints, **low),
            "vip": VipBenchmark(parts, **small),
            **{f"tap_vid, {name}": TapVidBenchmark(points, protocol=name) for name in PointProtocol.sources()},
            "otb": OtbBenchmark(boxes, version=None),
        }
        for name, benchmark in runs.items():
            extractor = (
                benchmark.extractor(build_encoder(spec))
                if name.startswith("otb")
                else build_feature_extractor(spec, "res4", 8)
            ).to(given.device)
            yield run_benchmark(given, name, benchmark, extractor, at / "out" / re.sub(r"\W+", "_", name))


def run_benchmark(given: argparse.Namespace, name: str, benchmark: Any, extractor: Any, out: Path) -> Row:
    """Run a benchmark twice; the second run counts, a frame."""
    reading = Reading(given)
    count = sum(sequence.num_frames for sequence in benchmark.sequences)
    for _ in range(2):
        reading.restart()
        began = time.perf_counter()
        benchmark.evaluate(extractor, out)
        seconds = time.perf_counter() - began
    spent = json.loads((out / "results.json").read_text())["seconds_of_rank_0"]
    words = ", ".join(f"{kind} {value / count * 1e3:.3g}" for kind, value in spent.items())
    return Row(f"{name}: a frame of {count}", [seconds / count], f"ms: {words}", reading.memory())


def two_processes(given: argparse.Namespace) -> Iterator[Row]:
    """Two processes on the one device, by gloo: NCCL takes one process for each GPU."""
    with tempfile.TemporaryDirectory() as folder:
        size = (64, 64) if given.small else (240, 426)
        write_davis(Path(folder) / "davis", 4, frames=6, size=size)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, __file__, "--device", given.device, *(["--small"] if given.small else [])]
        began = time.perf_counter()
        ranks = [
            subprocess.Popen(
                [*command, "--rank", str(rank), "--folder", folder],
                env={**environment, "NODE_RANK": str(rank), "LOCAL_RANK": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        told = [rank.communicate(timeout=500)[0] for rank in ranks]
        seconds = time.perf_counter() - began
        if any(rank.returncode for rank in ranks):
            raise RuntimeError(" / ".join(text.strip().splitlines()[-1] if text.strip() else "" for text in told))
        found = [json.loads(Path(folder, f"rank{rank}.json").read_text()) for rank in range(2)]
        alone = scores(given, Path(folder))
        same = "equal weights" if found[0]["weights"] == found[1]["weights"] else "WEIGHTS DIFFER"
        of_two = [each["scores"] for each in found]
        exact = "the scores of one process" if of_two == [alone] * 2 else f"OTHER SCORES: {of_two} and {alone}"
        yield Row("VFSSimSiam, 3 steps, then DAVIS, 2 processes", [seconds], f"{same}; {exact}")


def one_of_two(given: argparse.Namespace) -> None:
    """Train and evaluate as one of two processes; each is a node of one device to Lightning."""
    torch.manual_seed(0)
    module = VFSSimSiam(TINY if given.small else R18)
    batch = {"clip": torch.randint(256, (4, 2, 3, 64, 64), dtype=torch.uint8), "video_index": torch.arange(4)}
    strategy = pl.strategies.DDPStrategy(process_group_backend="gloo")
    benchmark = AfterTraining(given)
    trainer = quiet_trainer(given, "32-true", 3, [benchmark], strategy=strategy, num_nodes=2)
    trainer.fit(module, datamodule=InMemory(batch=batch))
    weights = hashlib.sha256(
        b"".join(p.detach().cpu().numpy().tobytes() for p in module.backbone.parameters())
    ).hexdigest()
    found = {"weights": weights, "scores": benchmark.found}
    Path(given.folder, f"rank{given.rank}.json").write_text(json.dumps(found))


class AfterTraining(pl.Callback):
    """Scores of a fixed encoder on both ranks, while they are still joined."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.found: dict[str, float] = {}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found = scores(self.given, Path(self.given.folder))


def scores(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    extractor = build_feature_extractor("raw_colour", stride=8).to(given.device)
    return DavisBenchmark(folder / "davis", split=None).evaluate(extractor)


def run_tests(given: argparse.Namespace) -> Iterator[Row]:
    """The tests marked gpu; without one they are skipped."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "--disable-warnings", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or [f"pytest ended with {done.returncode}"]
    counts = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|skipped)", line)), lines[-1])
    if done.returncode:
        failed = [line.split(" ")[1] for line in lines if line.startswith(("FAILED", "ERROR"))]
        raise RuntimeError("; ".join([counts.strip("= "), *failed]))
    yield Row("tests marked gpu", [time.perf_counter() - began], counts.strip("= "))


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "device": read_device,
    "training": train,
    "propagation": propagate,
    "benchmarks": benchmarks,
    "ddp": two_processes,
    "tests": run_tests,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="may be repeated; else all parts")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny networks and pictures, two repeats")
    parser.add_argument("--repeats", type=int, default=None, help="of what is timed; 20, with --small 2")
    parser.add_argument("--warm-up", type=int, default=None, help="steps before; 10, with --small 1")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES), help="of training")
    parser.add_argument("--rank", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.repeats = given.repeats or (2 if given.small else 20)
    given.warm_up = given.warm_up or (1 if given.small else 10)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --small shows whether the command runs")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    if given.rank is not None:
        one_of_two(given)
        return
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
