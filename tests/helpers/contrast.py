"""Small encoders, clips and two-rank runs for the tests of VFS with negatives."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from datamodules.loading.loader import ClipSampler, Key, ResumableLoader
from lightning_modules.shuffle_bn import encode_shuffled


class Tiny(nn.Module):
    """A convolution, BatchNorm and a pool: enough to learn and to be normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.bn(self.conv(images)).relu().mean(dim=(2, 3))


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


def resumable(videos: int, batch_size: int) -> ResumableLoader[Any]:
    data = Clips(videos)
    return ResumableLoader(data, batch_size=batch_size, sampler=ClipSampler(data, batch_size))


def quiet_trainer(**options: Any) -> pl.Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", **({"enable_checkpointing": False, "devices": 1} | silent | options))


class Company(nn.BatchNorm2d):
    """An "encoder" whose output for a frame is the set of videos normalised together, as a sum of powers of two.

    A frame of video v has 2^v in its first number.
    """

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :1].unique().sum().expand(len(images), 1)


def shuffle_on_ranks(rank: int, folder: str, ranks: int, groups: int, videos: int) -> None:
    """Writes what `encode_shuffled` gives on this rank for an encoder that copies, and for `Company`."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=60))
    numbers = torch.arange(videos, dtype=torch.float64) + rank * videos
    frames = (2**numbers).view(-1, 1, 1, 1, 1).repeat(1, 2, 1, 1, 1)  # two frames a video
    results = []
    for step in range(5):
        for encoder in (nn.Flatten(), Company()):
            generator = torch.Generator().manual_seed(step)
            results.append(encode_shuffled(encoder, frames, groups, generator).flatten(1).tolist())
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


class SaveQueue(pl.Callback):
    """Each rank writes its queue, average and gradients after every optimiser step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        name = f"{trainer.global_rank}-{trainer.global_step}.pt"
        state = {"queue": pl_module.queue.state_dict(), "average": pl_module.target_encoder.state_dict()}
        state["learned"] = pl_module.encoder.state_dict()
        state["gradients"] = [p.grad is not None for p in pl_module.target_encoder.parameters()]
        torch.save(state, self.folder / name)
