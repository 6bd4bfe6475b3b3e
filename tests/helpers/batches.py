"""Forms of batches that people's loaders give, through a loader of theirs and through one of ours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from vidcorr.datamodules.base import SampledDataModule
from vidcorr.datamodules.loading.clips import Key

VIDEOS = 22


def clip_of(index: int) -> Tensor:
    """Return clip `(2, 3, 32, 32)` number i, always the same."""
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(index))


FORMS: dict[str, Callable[[int], Any]] = {
    "dict": lambda index: {"clip": clip_of(index), "video_index": index},
    "bytes": lambda index: {"clip": clip_of(index).mul(255).byte(), "video_index": index},
    "tensor": clip_of,
    "tuple": lambda index: (clip_of(index), index),
    "views": lambda index: [clip_of(index), clip_of(index + 1)],
    "nested": lambda index: {"views": {"first": clip_of(index)}, "video_index": index},
    "normalised": lambda index: {"clip": clip_of(index).sub(0.5).div(0.1), "video_index": index},
}
"""Form → sample by its number. Through a loader of theirs there is also "stream", of dicts."""
TENSOR_OF: dict[str, Callable[[Any], Tensor]] = {
    "tensor": lambda batch: batch,
    "tuple": lambda batch: batch[0],
    "views": lambda batch: batch[0],
    "nested": lambda batch: batch["views"]["first"],
}
"""Form → the clips of its batch, other than `clip`."""


class Samples(Dataset[Any]):
    """Samples of a form, by a number or by (epoch, number)."""

    def __init__(self, form: str) -> None:
        self.form = form

    def __len__(self) -> int:
        return VIDEOS

    def __getitem__(self, key: int | Key) -> Any:
        return FORMS[self.form](key if isinstance(key, int) else key[1])


class Stateful(Samples):
    """A data set whose samples depend on what it gave before, as a cache or a curriculum."""

    given = 0

    def __getitem__(self, key: int | Key) -> Any:
        self.given += 1
        return {"clip": clip_of(self.given), "video_index": self.given}


class Stream(IterableDataset[Any]):
    """A stream of dicts, which gives its samples once."""

    def __iter__(self) -> Iterator[Any]:
        return map(FORMS["dict"], range(VIDEOS))


class Ours(SampledDataModule):
    """A data module below ours with samples of a form."""

    def __init__(self, form: str) -> None:
        super().__init__(Path("memory"), 2, 0, 0)
        self.training = Samples(form)

    def _arguments(self) -> dict[str, Any]:
        return super()._arguments() | {"collate_fn": default_collate}


def theirs(form: str) -> DataLoader[Any]:
    """Return a loader of theirs."""
    if form in ("stream", "stateful"):
        return DataLoader(Stream() if form == "stream" else Stateful(form), 2)
    return DataLoader(Samples(form), 2, shuffle=True)


class Plain(pl.LightningModule):
    """A module of theirs, which reads its form of batch."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.tensor_of = TENSOR_OF.get(form, lambda batch: batch["clip"])
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 8, 1), nn.BatchNorm2d(4))

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        images = self.tensor_of(batch).float().flatten(0, 1)
        return (self(images) - avg_pool2d(images, 8).mean(1, keepdim=True)).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)
