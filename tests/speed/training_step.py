"""One training step of each method against its backbone alone, in one process, one after the other.

A step is all that Lightning does from one batch to the next: the losses, both encoders, the optimiser, the momentum
update, the queue and the log. The backbone alone passes what it got in the first step, forward and, if it learns from
it, backward; so does its average, forward.
"""

import logging
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle

from tests.helpers.training import quiet_trainer
from tests.speed.timing import DEVICE, enough, now, row
from vidcorr import lightning_modules
from vidcorr.cli import MIXED
from vidcorr.functional.device import fastest_precision

METHODS = yaml.safe_load(Path(__file__).with_name("training_steps.yaml").read_text())
WARM_UP = 2
"""Steps before those that count."""
Batch = dict[str, Tensor]


def methods(device: str) -> Iterator[tuple[str, pl.LightningModule, Batch]]:
    """Yield the name of each step, its method, and a batch of noise."""
    for name, (method, arguments, shapes) in METHODS[device].items():
        images = {image: torch.randint(256, shape, dtype=torch.uint8) for image, shape in shapes.items()}
        numbers = torch.arange(len(next(iter(images.values()))))
        yield name, getattr(lightning_modules, method)(**arguments), images | {"video_index": numbers, "label": numbers}


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

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
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
            trainer.should_stop = len(self.steps) >= enough(self.rounds, self.steps[-1] + self.bare[-1])
        self.began = now()


def training_steps(rounds: int) -> Iterator[str]:
    """Compare a step of each method; on a GPU of all methods in two precisions, with the most memory of both ways."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    on_gpu = DEVICE == "cuda"
    for precision in ("32-true", "bf16-mixed") if on_gpu else (MIXED[fastest_precision(DEVICE)[0]],):
        torch.manual_seed(0)
        for name, module, batch in methods(DEVICE):
            beside = Beside(rounds)
            trainer = quiet_trainer(
                accelerator=DEVICE, precision=precision, max_epochs=1, limit_val_batches=0, callbacks=[beside]
            )
            trainer.fit(module, datamodule=InMemory(batch))
            what = f"step of {name}, against its backbone's passes alone"
            if on_gpu:
                what += f", {precision}, {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
                torch.cuda.reset_peak_memory_stats()
            yield row(what, min(beside.bare), min(beside.steps))
