"""Training steps of the three methods, and propagation: what a GPU gives, in one command.

    python tests/speed/training.py --source VIDEOS --davis DAVIS            # everything, on the first GPU
    python tests/speed/training.py                                          # computing alone, on clips in memory
    python tests/speed/training.py --device cpu --tiny                      # does it run at all

Networks, frames and batches per device as in the papers, each in float32, bf16-mixed, and bf16-mixed with a compiled
backbone. Printed: optimiser steps a second (best and median of five parts of the run, after the steps in which kernels
are chosen and graphs compiled), seconds until then, the share of the time spent waiting for data, and the largest
memory. Then seconds for a sequence of DAVIS by the protocol vfs in float32.
"""

import argparse
import logging
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import DavisBenchmark
from datamodules import VideoDataModule
from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor

PARTS = 5
MODES = {"fp32": ("32-true", False), "bf16": ("bf16-mixed", False), "bf16 compiled": ("bf16-mixed", True)}
R18, R50 = "torchvision:resnet18", "torchvision:resnet50"
WIDE = {"projector_dim": 2048, "predictor_dim": 512}
LIIR = {"sampling": "continuous", "interval": [2, 5, 8], "spatial": "whole"}
RUNS: dict[str, tuple[type[pl.LightningModule], dict[str, Any], dict[str, Any]]] = {
    "VFSSimSiam R18, 8 frames": (VFSSimSiam, {"backbone": R18}, {"batch_size": 32, "frames": 8}),
    "VFSSimSiam R50, 2 frames": (VFSSimSiam, {"backbone": R50} | WIDE, {"batch_size": 32, "frames": 2}),
    "VFSMoCo R18, 2 frames": (VFSMoCo, {"backbone": R18}, {"batch_size": 32, "frames": 2}),
    "VFSMoCo R50, 2 frames": (VFSMoCo, {"backbone": R50}, {"batch_size": 32, "frames": 2}),
    "Liir, second stage": (Liir, {"warmup_epochs": 0}, {"batch_size": 6, "frames": 2, "size": 256} | LIIR),
}
"""Name → method, its arguments, those of the data."""
TINY = {"VFSSimSiam": {}, "VFSMoCo": {"queue_size": 64}, "Liir": {"position_size": 16, "bank_frames": 8}}


class InMemory(pl.LightningDataModule):
    """One batch, of noise where none is given, again and again: the loader costs nothing."""

    def __init__(
        self,
        batch_size: int = 0,
        frames: int = 0,
        size: int = 224,
        batch: dict[str, torch.Tensor] | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        if batch is None:
            clip = torch.randint(256, (batch_size, frames, 3, size, size), dtype=torch.uint8)
            batch = {"clip": clip, "video_index": torch.arange(batch_size)}
        self.batch = batch

    def train_dataloader(self) -> DataLoader[Any]:
        size = len(next(iter(self.batch.values())))
        pinned = torch.cuda.is_available()
        return DataLoader(range(size * 10**6), size, collate_fn=lambda _: self.batch, pin_memory=pinned)  # type: ignore[arg-type]

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        pictures = {name: item for name, item in batch.items() if item.dtype == torch.uint8}
        return batch | {name: item.float().div_(255) for name, item in pictures.items()}


class Stopwatch(pl.Callback):
    """End of each part of a run, and the time spent waiting for data by then."""

    def __init__(self, warm_up: int, steps: int) -> None:
        self.looks = {warm_up + part * steps // PARTS for part in range(PARTS + 1)}
        self.marks: list[tuple[int, float, float]] = []
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step not in self.looks:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            if not self.marks:
                torch.cuda.reset_peak_memory_stats()
        self.marks.append((trainer.global_step, time.perf_counter(), getattr(trainer.train_dataloader, "waited", 0.0)))


def measure(name: str, mode: str, given: argparse.Namespace) -> None:
    """Train some steps, print a line."""
    kind, arguments, data = RUNS[name]
    precision, compiled = MODES[mode]
    if given.tiny:
        data = data | {"batch_size": 4, "frames": 2, "size": 32}
        arguments = arguments | TINY[kind.__name__]
    torch.manual_seed(0)
    module = kind(**arguments, compile=compiled)
    watch = Stopwatch(given.warm_up, given.steps)
    trainer = pl.Trainer(
        accelerator="gpu" if given.device == "cuda" else "cpu",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=given.warm_up + given.steps,
        limit_val_batches=0,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    source = {"source": given.source, "num_workers": given.workers, "validation_fraction": 0.0, "repeat": 10**3}
    trainer.fit(module, datamodule=VideoDataModule(**source, **data) if given.source else InMemory(**data))
    rates = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(watch.marks, watch.marks[1:], strict=False)]
    first, last = watch.marks[0], watch.marks[-1]
    waiting = f"{(last[2] - first[2]) / (last[1] - first[1]):.0%}" if given.source else "-"
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GB" if given.device == "cuda" else "-"
    columns = f"{max(rates):8.2f} {median(rates):8.2f} {first[1] - watch.began:8.1f} s {waiting:>8} {memory:>10}"
    print(f"{name:26} {mode:14} {columns}", flush=True)


def propagate(given: argparse.Namespace) -> None:
    """Seconds for a sequence, from its files to its scores, after one to warm up."""
    extractor = build_feature_extractor(R18, "res4", 8).to(given.device)
    benchmark = DavisBenchmark(given.davis, stage="res4", stride=8)
    sequences = list(benchmark.sequences)[: given.sequences]
    for number, sequence in enumerate([sequences[0], *sequences]):
        benchmark._sequences = [sequence]
        began = time.perf_counter()
        benchmark.evaluate(extractor)
        if number:
            seconds = time.perf_counter() - began
            print(f"{sequence.name:26} {sequence.num_frames:4} frames {seconds:8.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="videos, or shards of them; without it the clips are noise in memory")
    parser.add_argument("--davis", help="root of DAVIS-2017")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a few small clips")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=20, help="steps before the clock starts")
    parser.add_argument("--workers", type=int, default=None, help="of the loader")
    parser.add_argument("--sequences", type=int, default=5)
    parser.add_argument("--only", default="", help="runs whose name has this in it")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --tiny shows whether it runs")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    machine = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{machine}, torch {torch.__version__}, {given.steps} steps; best and median steps/s, start, waiting, memory")
    for name in [name for name in RUNS if given.only in name]:
        for mode in given.modes:
            measure(name, mode, given)
            torch._dynamo.reset()
    if given.davis:
        propagate(given)


if __name__ == "__main__":
    main()
