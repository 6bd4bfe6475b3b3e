"""Tiny methods, clips in memory and silent trainings."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vidcorr.datamodules.base import SampledDataModule
from vidcorr.datamodules.loading.clips import Key
from vidcorr.lightning_modules import Liir, VFSMoCo, VFSSimSiam

TINY = {"backbone": "tests.helpers.encoders:TinyResNet", "projector_dim": 16, "predictor_dim": 8}
"""Arguments of a small VFSSimSiam."""


def tiny_simsiam(**options: Any) -> VFSSimSiam:
    return VFSSimSiam(**TINY, **options)


class Tiny(nn.Module):
    """A convolution and BatchNorm: enough to learn and to be normalised."""

    stride = 2  # stated: a benchmark that reads the weights alone needs no map of it

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.bn(self.conv(images)).relu()


def tiny_moco(queue_size: int = 16, **options: Any) -> VFSMoCo:
    return VFSMoCo("tests.helpers.training:Tiny", projection_dim=4, queue_size=queue_size, **options)


def tiny_liir(**options: Any) -> Liir:
    """Return a Liir of three stages for frames of 16 px, whose features are small: no place takes all of the softmax.

    A dict in `options` replaces single fields of the settings.
    """
    groups = {"bank": {"frames": 6, "points": 2}, "prior": {"threshold": 0.02}, "schedule": {"warmup_epochs": 0}}
    for name, fields in options.items():
        groups[name] = groups[name] | fields if isinstance(fields, dict) else fields
    torch.manual_seed(0)
    module = Liir(**{"position_size": 8, "radius": 2, "stages": 3} | groups)
    with torch.no_grad():
        module.backbone.affinity.weight.mul_(0.2)
        if module.target_encoder is not None:
            module.target_encoder.affinity.weight.mul_(0.2)
    return module


class Clips(Dataset[dict[str, Any]]):
    """Noise videos in memory; number i is always the same."""

    def __init__(self, videos: int, frames: int = 4, size: int = 8) -> None:
        self.shape, self.videos = (frames, 3, size, size), videos

    def __len__(self) -> int:
        return self.videos

    def __getitem__(self, key: int | Key) -> dict[str, Any]:
        index = key if isinstance(key, int) else key[1]
        generator = torch.Generator().manual_seed(index)
        return {"clip": torch.rand(self.shape, generator=generator), "video_index": index}


def loader(videos: int, batch_size: int, frames: int = 4, size: int = 8) -> DataLoader[Any]:
    return DataLoader(Clips(videos, frames, size), batch_size=batch_size)


class InMemory(SampledDataModule):
    """Noise videos of a tiny training, and two held-out ones."""

    def __init__(self, videos: int, batch_size: int, frames: int = 4, size: int = 8) -> None:
        super().__init__(Path("memory"), batch_size, 0, 0)
        self.training, self.held_out = Clips(videos, frames, size), Clips(2, frames, size)


def quiet_trainer(**options: Any) -> pl.Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(**({"enable_checkpointing": False, "devices": 1} | silent | options))


EMPTY = DataLoader([{}], batch_size=None)
"""Data of a pass of validation that has nothing of its own to do."""


def trainer_in(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    settings = {"max_epochs": 1, "num_sanity_val_steps": 0, "enable_checkpointing": True} | options
    return quiet_trainer(default_root_dir=folder, callbacks=list(callbacks), **settings)


def fit_in(folder: Path, *callbacks: pl.Callback, ckpt_path: Path | None = None, **options: Any) -> pl.Trainer:
    """Train a VFSSimSiam two steps an epoch, with an empty batch of validation; return the trainer."""
    trainer = trainer_in(folder, *callbacks, **options)
    trainer.fit(VFSSimSiam(**TINY, base_lr=3), loader(8, 4, frames=2, size=32), EMPTY, ckpt_path=ckpt_path)
    return trainer
