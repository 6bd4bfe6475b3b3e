"""Small Liir modules, and what their training looks like from outside."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules import Liir


def tiny(**options: Any) -> Liir:
    """For frames of 16 px; features small, so that no place takes all of the softmax before training."""
    settings = {"position_size": 8, "bank_frames": 6, "points_per_frame": 2, "radius": 2, "warmup_epochs": 0}
    torch.manual_seed(0)
    module = Liir(**(settings | {"mixture_threshold": 0.02} | options))
    with torch.no_grad():
        module.backbone.affinity.weight.mul_(0.2)
        if module.target_encoder is not None:
            average = module.target_encoder.average
            getattr(average, "affinity", average).weight.mul_(0.2)
    return module


def clips(videos: int, frames: int = 2, size: int = 16) -> dict[str, Tensor]:
    """A batch of noise in which neighbouring frames are alike."""
    first = torch.rand(videos, 1, 3, size, size)
    return {
        "clip": (first + 0.1 * torch.rand(videos, frames, 3, size, size)).clamp(0, 1),
        "video_index": torch.arange(videos),
    }


class Record(pl.Callback):
    """Of every batch: what the step published, the rate and the place of the schedule."""

    def __init__(self) -> None:
        self.published: list[dict[str, float]] = []
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.samples: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.published.append({name: float(value) for name, value in outputs.items() if value.ndim == 0})
        self.steps.append(trainer.global_step)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.samples.append(trainer.lr_scheduler_configs[0].scheduler.last_epoch)


class FrozenStatistics(pl.Callback):
    """BatchNorm in eval mode, so that ranks do not differ from one process with all samples."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


class SaveStep(pl.Callback):
    """Each rank writes loss, gradients and bank of every step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gradients: dict[str, Tensor] = {}
        self.videos: list[int] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.videos = batch["video_index"].tolist()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.gradients = {name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        state = {
            "videos": self.videos,
            "loss": outputs["loss"],
            "mass": outputs["negative_mass"],
            "gradients": self.gradients,
        }
        state["bank"] = pl_module.bank.state_dict()
        torch.save(state, self.folder / f"{trainer.world_size}-{trainer.global_rank}-{trainer.global_step}.pt")
