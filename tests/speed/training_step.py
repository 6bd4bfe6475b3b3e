"""One training step of each method against its backbone alone, in one process, one after the other.

A step is all that Lightning does from one batch to the next: the losses, both encoders, the optimiser, the momentum
update, the queue and the log. The backbone alone passes what it got in the first step, forward and, if it learns from
it, backward; so does its average, forward.
"""

import logging
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle

from cli import MIXED
from lightning_modules import ContrastiveRandomWalk, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.training import quiet_trainer
from tests.speed.timing import DEVICE, now, row
from vidcorr.functional.device import fastest_precision

R18, CRW = "torchvision:resnet18", "vidcorr.backbones:crw_training_resnet18"
WARM_UP = 2
"""Steps before those that count."""
Batch = dict[str, Tensor]


def clips(videos: int, frames: int, side: int) -> Batch:
    """Return noise videos."""
    clip = torch.randint(256, (videos, frames, 3, side, side), dtype=torch.uint8)
    return {"clip": clip, "video_index": torch.arange(videos)}


def cpu_methods() -> dict[str, tuple[pl.LightningModule, Batch]]:
    """Return three methods in small form."""
    liir = {"position_size": 56, "bank": {"frames": 1440}, "schedule": {"warmup_epochs": 0}}
    return {
        "VFSSimSiam": (VFSSimSiam(), clips(16, 4, 112)),
        "VFSMoCo": (VFSMoCo(queue_size=8192), clips(16, 4, 112)),
        "Liir": (Liir(**liir), clips(6, 2, 112)),
    }


def gpu_methods() -> dict[str, tuple[pl.LightningModule, Batch]]:
    """Return all methods, each with the batch of one device of its config."""
    r50 = {"backbone": "torchvision:resnet50"}
    second = {"position_size": 128, "bank": {"frames": 1440}, "schedule": {"warmup_epochs": 0}}
    shared, same_place = ({"frames": 1440, "negatives": kind} for kind in ("shared", "same_place"))
    pairs = {"exemplar": (8, 3, 120, 120), "search": (8, 3, 239, 239)}
    images = {"image": torch.randint(256, (256, 3, 224, 224), dtype=torch.uint8), "label": torch.arange(256)}
    return {
        "VFSSimSiam": (VFSSimSiam(), clips(32, 8, 224)),
        "VFSSimSiam-R50": (VFSSimSiam(**r50, projector_dim=2048, predictor_dim=512), clips(32, 8, 224)),
        "VFSMoCo": (VFSMoCo(), clips(32, 8, 224)),
        "VFSMoCo-R50": (VFSMoCo(**r50), clips(32, 8, 224)),
        "Liir-warmup": (Liir(position_size=128, bank={"frames": 1440}), clips(6, 2, 256)),
        "Liir": (Liir(**second), clips(6, 2, 256)),
        "Liir-shared": (Liir(**second | {"bank": shared}), clips(6, 2, 256)),
        "Liir-same-place": (Liir(**second | {"bank": same_place}), clips(6, 2, 256)),
        "Liir-average": (Liir(**second, reference_encoder="average"), clips(6, 2, 256)),
        "ContrastiveRandomWalk": (ContrastiveRandomWalk(CRW), clips(10, 4, 256)),
        "SiamFC": (SiamFC(R18), {name: torch.randint(256, shape, dtype=torch.uint8) for name, shape in pairs.items()}),
        "LinearProbe": (LinearProbe(R18, num_classes=1000), images),
    }


class InMemory(pl.LightningDataModule):
    """One batch again and again: the loader costs nothing."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch

    def train_dataloader(self) -> DataLoader[Any]:
        size = len(next(iter(self.batch.values())))
        pinned = torch.cuda.is_available()
        return DataLoader(range(size * 10**6), size, collate_fn=lambda _: self.batch, pin_memory=pinned)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        images = {name: item for name, item in batch.items() if item.dtype == torch.uint8}
        return batch | {name: item.float().div_(255) for name, item in images.items()}


class Beside(pl.Callback):
    """The seconds of each step, and after it those of the backbone alone; the first steps only warm up."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.bare: list[float] = []
        self.passes: list[tuple[nn.Module, Tensor, bool]] = []  # network, its input, whether it learns from it
        self.hooks: list[RemovableHandle] = []
        self.began = now()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        networks = [part for part in pl_module.modules() if type(part) is type(pl_module.backbone)]
        for network in networks:  # at the first convolution, as a method may call the layers one by one
            first = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
            self.hooks.append(first.register_forward_pre_hook(partial(self.keep, network)))

    def keep(self, network: nn.Module, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        learns = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in network.parameters())
        self.passes.append((network, inputs[0].detach(), learns))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        ended = now()
        while self.hooks:
            self.hooks.pop().remove()
        pl_module.backbone.zero_grad()
        before = now()
        for network, images, learns in self.passes:
            with torch.set_grad_enabled(learns), trainer.precision_plugin.forward_context():
                output = network(images)
            if learns:
                output.float().mean().backward()
        if trainer.global_step > WARM_UP:
            self.steps.append(ended - self.began)
            self.bare.append(now() - before)
        self.began = now()


def training_steps(rounds: int) -> Iterator[str]:
    """Compare a step of each method; on a GPU of all methods in two precisions, with the most memory of both ways."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    on_gpu = DEVICE == "cuda"
    for precision in ("32-true", "bf16-mixed") if on_gpu else (MIXED[fastest_precision(DEVICE)[0]],):
        torch.manual_seed(0)
        for name, (module, batch) in (gpu_methods() if on_gpu else cpu_methods()).items():
            beside, steps = Beside(), WARM_UP + rounds
            trainer = quiet_trainer(
                accelerator=DEVICE, precision=precision, max_steps=steps, limit_val_batches=0, callbacks=[beside]
            )
            trainer.fit(module, datamodule=InMemory(batch))
            what = f"step of {name}, against its backbone's passes alone"
            if on_gpu:
                what += f", {precision}, {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
                torch.cuda.reset_peak_memory_stats()
            yield row(what, min(beside.bare), min(beside.steps))
