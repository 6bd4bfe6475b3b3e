"""A tiny form of every method with a batch for it, and three optimiser steps with fixed seeds, data and networks."""

import json
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.helpers.training import Clips, quiet_trainer
from vidcorr import lightning_modules
from vidcorr.datamodules.base import SampledDataModule
from vidcorr.lightning_modules import Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from vidcorr.lightning_modules.base import CorrespondenceModule

METHODS = [
    name for name in lightning_modules.__all__ if issubclass(getattr(lightning_modules, name), CorrespondenceModule)
]
"""Every method that trains."""
BACKBONE = "tests.helpers.encoders:TinyResNet"
VIT = "tests.helpers.encoders:tiny_vit"
SMALL = json.loads(Path(__file__).with_name("small_methods.json").read_text())
"""Argument of a method → its small value; a method takes those that it has."""
SIDES = {"B": 2, "3": 3, "H": 32, "W": 32, "a": 120, "b": 239}
"""Axis of an image, as methods name them in `images` → its length; `frames_of` gives that of T."""
MOCO = {"backbone": BACKBONE, "projection_dim": 8, "queue_size": 48, "base_lr": 5.0, "encoder_momentum": 0.9}
LIIR = {"position_size": 16, "bank": {"frames": 6, "points": 2}, "radius": 2, "prior": {"threshold": 0.02}}
SHUFFLED = {"schedule": {"warmup_epochs": 1}, "bank": {"frames": 6, "points": 2, "modulation": "shuffle"}}
MAST = {"position": "none", "bank": {"frames": 0}, "prior": None, "schedule": {"warmup_epochs": 0}}


def arguments_of(name: str) -> dict[str, Any]:
    """Return arguments that make a method small, as far as its signature has them."""
    parameters = signature(getattr(lightning_modules, name)).parameters
    arguments = {argument: value for argument, value in SMALL.items() if argument in parameters}
    if "backbone" in parameters:
        default = parameters["backbone"].default
        takes_any = default is Parameter.empty and parameters["stage"].default is None
        arguments["backbone"] = VIT if takes_any or "vit" in str(default) else BACKBONE
    return arguments


def tiny(name: str, **options: Any) -> Any:
    """Return a small method with seeded weights; options replace its arguments."""
    torch.manual_seed(0)
    return getattr(lightning_modules, name)(**arguments_of(name) | options)


@cache
def frames_of(name: str) -> int:
    """Return the smallest number of frames in a clip, from 2 on, that a method takes."""
    module = tiny(name)
    for frames in range(2, 5):
        try:
            module.step(_noise(name, frames, 2))
        except ValueError:
            continue
        return frames
    raise AssertionError(f"{name} takes no clip of up to 4 frames")


def _noise(name: str, frames: int, samples: int) -> dict[str, Tensor]:
    """Return images of a batch for a method, with videos and classes."""
    sides = SIDES | {"T": frames, "B": samples}
    if "position_size" in arguments_of(name):  # of half the frames' size
        sides |= {"H": 2 * SMALL["position_size"], "W": 2 * SMALL["position_size"]}
    axes = getattr(lightning_modules, name).images
    images = {image: torch.rand([sides[axis] for axis in axes[image].split(", ")]) for image in axes}
    return images | {"video_index": torch.arange(samples), "label": torch.arange(samples) % 3}


def tiny_batch(name: str, samples: int = 2) -> dict[str, Tensor]:
    """Return noise for a small method: images, videos and classes."""
    return _noise(name, frames_of(name), samples)


class Samples(Dataset[dict[str, Any]]):
    """Samples of noise for a method; sample i is always the same."""

    def __init__(self, name: str, count: int) -> None:
        with torch.random.fork_rng(devices=[]):
            frames = frames_of(name)  # it draws, the first time
            torch.manual_seed(1)
            self.batch = _noise(name, frames, count)

    def __len__(self) -> int:
        return len(self.batch["video_index"])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {name: values[key[1]] for name, values in self.batch.items()}


def batches_of(name: str, count: int = 4) -> DataLoader[Any]:
    """Return a loader of samples of noise for a method, two a batch."""
    samples = Samples(name, count)
    return DataLoader([samples[0, number] for number in range(count)], 2)  # type: ignore[arg-type]


class InMemory(SampledDataModule):
    """Epochs of batches of two samples of noise, for a method."""

    def __init__(self, name: str, samples: int = 6) -> None:
        super().__init__("memory", 2, 0, 0)
        self.training = Samples(name, samples)


RUNS: dict[str, tuple[type[pl.LightningModule], dict[str, Any], dict[str, Any]]] = {
    "simsiam": (VFSSimSiam, {"backbone": BACKBONE, "projector_dim": 16, "predictor_dim": 8, "base_lr": 5.0}, {}),
    "moco": (VFSMoCo, MOCO, {}),
    "moco-accumulated": (VFSMoCo, MOCO | {"groups": 1}, {"accumulate_grad_batches": 2}),
    "liir": (Liir, LIIR | {"schedule": {"warmup_epochs": 0}}, {}),
    "liir-phases": (Liir, LIIR | SHUFFLED, {"limit_train_batches": 2}),
    "liir-mast": (Liir, MAST, {}),
    "siamfc": (SiamFC, {"backbone": BACKBONE, "response_scale": 0.1}, {}),
    "probe-moco": (LinearProbe, {"backbone": BACKBONE, "num_classes": 3}, {}),
    "probe-simsiam": (LinearProbe, {"backbone": BACKBONE, "num_classes": 3, "protocol": "simsiam"}, {}),
}


def data(name: str) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(7)
    if name == "siamfc":
        shapes = {"exemplar": (3, 120, 120), "search": (3, 239, 239)}
        items = [{k: torch.rand(s, generator=generator) for k, s in shapes.items()} for _ in range(12)]
    elif name.startswith("probe"):
        items = [{"image": torch.rand(3, 64, 64, generator=generator), "label": i % 3} for i in range(24)]
    else:
        return DataLoader(Clips(24, frames=4 if "moco" in name or name == "simsiam" else 2, size=32), batch_size=4)
    return DataLoader(items, batch_size=4)  # type: ignore[arg-type]


def trained(name: str) -> dict[str, Tensor]:
    """Return the state dict after three steps, with the losses of its batches as `losses`."""
    kind, arguments, options = RUNS[name]
    torch.manual_seed(0)
    module, losses = kind(**arguments), []
    record = LambdaCallback(on_train_batch_end=lambda trainer, module, outputs, *_: losses.append(outputs["loss"]))
    quiet_trainer(max_steps=3, callbacks=[record], **options).fit(module, data(name))
    return module.state_dict() | {"losses": torch.stack(losses).double()}
