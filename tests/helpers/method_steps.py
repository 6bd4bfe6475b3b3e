"""A tiny form of every method, and noise for it."""

from functools import cache
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

import lightning_modules
from lightning_modules.base import CorrespondenceModule

METHODS = [
    name for name in lightning_modules.__all__ if issubclass(getattr(lightning_modules, name), CorrespondenceModule)
]
"""Every method that trains."""
BACKBONE = "tests.helpers.encoders:TinyResNet"
VIT = "tests.helpers.encoders:tiny_vit"
SMALL = {
    "projector_dim": 16,
    "predictor_dim": 8,
    "projection_dim": 8,
    "queue_size": 24,
    "position_size": 16,
    "affinity_dim": 8,
    "stages": 3,
    "radius": 2,
    "bank": {"frames": 6, "points": 2},
    "schedule": {"warmup_epochs": 0},
    "patch_size": 16,
    "patch_stride": 16,
    "decoder_width": 32,
    "decoder_depth": 1,
    "decoder_heads": 4,
    "decoder_hidden": 64,
    "num_classes": 3,
}
"""Argument of a method → its small value; a method takes those that it has."""
SIDES = {"B": 2, "3": 3, "H": 32, "W": 32, "a": 120, "b": 239}
"""Axis of an image, as methods name them in `images` → its length; `frames_of` gives that of T."""


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
            torch.manual_seed(1)
            self.batch = tiny_batch(name, count)

    def __len__(self) -> int:
        return len(self.batch["video_index"])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {name: values[key[1]] for name, values in self.batch.items()}
