"""One training step of each method against its backbone alone, in one process, one after the other.

    OMP_NUM_THREADS=1 python tests/speed/training_step.py --repeats 20

A step is all that Lightning does from one batch to the next: the losses, both encoders, the optimiser, the momentum
update, the queue and the log. The backbone alone is forward and backward of the backbone on the same frames, normalised
beforehand and in one pass, and the forward pass of the momentum encoder's backbone where the method has one. Printed:
milliseconds, minimum and median, by the clock and of processor time, and the share of the backbone alone.
"""

import argparse
import copy
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
from torch import Tensor, nn

from lightning_modules import ContrastiveRandomWalk, Liir, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import Normalise
from lightning_modules.functional.colour import normalised_lab
from tests.speed.table import row
from tests.speed.training import InMemory

RUNS: dict[str, tuple[type[pl.LightningModule], dict[str, Any], dict[str, int]]] = {
    "VFSSimSiam": (VFSSimSiam, {}, {"batch_size": 16, "frames": 4}),
    "VFSMoCo": (VFSMoCo, {"queue_size": 8192}, {"batch_size": 16, "frames": 4}),
    "Liir": (Liir, {"warmup_epochs": 0, "bank_frames": 1440}, {"batch_size": 6, "frames": 2}),
}
"""Name → method, its arguments, those of the data."""


class BarePasses:
    """Passes of a method's backbone on the frames of a batch, and nothing else.

    Frames that only a momentum encoder sees, or a backbone that does not learn, pass forward alone.
    """

    def __init__(self, module: Any, batch: dict[str, Tensor], precision: str) -> None:
        self.half = precision == "bf16-mixed"
        self.backbone: nn.Module = copy.deepcopy(module.backbone)
        self.average = copy.deepcopy(self.backbone).requires_grad_(False)
        normalise = Normalise().to(module.device)
        if "clip" not in batch:  # a frozen backbone, which normalises by itself
            self.learned: list[Tensor] = []
            self.averaged = [batch[name] for name in ("exemplar", "search", "image") if name in batch]
            return
        clip = batch["clip"]
        learned, averaged = clip, clip[:, :0]
        if isinstance(module, Liir):
            normalise, averaged = normalised_lab, clip[:, -1:]  # type: ignore[assignment]
        elif hasattr(module, "target_encoder"):
            learned, averaged = clip.chunk(2, dim=1)
        frames = learned.flatten(0, 1)
        if isinstance(module, ContrastiveRandomWalk) and module.hparams["nodes"] == "patches":
            frames = module.patches(frames)
        self.learned = [normalise(frames)]
        self.averaged = [normalise(averaged.flatten(0, 1))] if averaged.numel() else []

    def __call__(self) -> None:
        self.backbone.zero_grad()
        kind = (self.learned + self.averaged)[0].device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                for frames in self.averaged:
                    self.average(frames)
            outputs = [self.backbone(frames) for frames in self.learned]
        for output in outputs:
            output.float().mean().backward()


class Beside(pl.Callback):
    """After each step the backbone alone; the seconds of both, by the clock and of the processor."""

    def __init__(self, warm_up: int, precision: str) -> None:
        self.warm_up, self.precision = warm_up, precision
        self.steps: list[tuple[float, float]] = []
        self.bare: list[tuple[float, float]] = []
        self.began: tuple[float, float] | None = None
        self.passes: BarePasses | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        ended = now()
        if self.passes is None:
            self.passes = BarePasses(pl_module, batch, self.precision)
        before = now()
        self.passes()
        after = now()
        if self.began is not None and trainer.global_step > self.warm_up:
            self.steps.append((ended[0] - self.began[0], ended[1] - self.began[1]))
            self.bare.append((after[0] - before[0], after[1] - before[1]))
        self.began = now()


def now() -> tuple[float, float]:
    """Return the clock and the processor's time, when a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def measure(name: str, given: argparse.Namespace) -> None:
    kind, arguments, data = RUNS[name]
    torch.manual_seed(0)
    data = data | ({"frames": given.frames} if given.frames and kind is not Liir else {})
    beside = Beside(given.warm_up, given.precision)
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=given.precision,
        max_steps=given.warm_up + given.repeats,
        limit_val_batches=0,
        callbacks=[beside],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(kind(**arguments), datamodule=InMemory(**data, size=given.size))
    columns = []
    for unit in (0, 1):
        step, bare = ([1e3 * each[unit] for each in times] for times in (beside.steps, beside.bare))
        ratios = [b / s for s, b in zip(step, bare, strict=True)]
        columns.append(f"{min(step):7.0f} {median(step):7.0f} {min(bare):7.0f} {median(bare):7.0f}")
        columns.append(f"{min(bare) / min(step):5.3f} {median(ratios):5.3f}")
    print(f"{name:12} " + " | ".join(columns), flush=True)
    bare_time, step_time = (min(each[1] for each in times) for times in (beside.bare, beside.steps))
    row(f"step of {name}, against its backbone's passes alone", bare_time, step_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--frames", type=int, default=0, help="of a clip; without it those of the table above")
    parser.add_argument("--precision", default="bf16-mixed", choices=["bf16-mixed", "32-true"])
    given = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, {given.precision}, {given.size} px; ms")
    print(
        "by the clock, then of the processor: step min, median; bare min, median; fraction of minima, median of pairs"
    )
    for name in given.only:
        measure(name, given)


if __name__ == "__main__":
    main()
