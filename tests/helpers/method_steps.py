"""A tiny form of every method with a batch for it, and three optimiser steps with fixed seeds, data and networks."""

from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor
from torch.utils.data import DataLoader

import lightning_modules
from lightning_modules import Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.training import Clips, quiet_trainer

METHODS = sorted(set(lightning_modules.__all__) - {"FrozenEncoder"})
"""Every method that trains; `TINY` has an entry for each."""
BACKBONE = "tests.helpers.encoders:TinyResNet"
MOCO = {"backbone": BACKBONE, "projection_dim": 8, "queue_size": 48, "base_lr": 5.0, "encoder_momentum": 0.9}
LIIR = {"position_size": 16, "bank": {"frames": 6, "points": 2}, "radius": 2, "prior": {"threshold": 0.02}}
SHUFFLED = {"schedule": {"warmup_epochs": 1}, "bank": {"frames": 6, "points": 2, "modulation": "shuffle"}}
MAST = {"position": "none", "bank": {"frames": 0}, "prior": None, "schedule": {"warmup_epochs": 0}}
VIT = "tests.helpers.encoders:tiny_vit"
DECODER = {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 4, "decoder_hidden": 64}


CLIP = {"clip": (2, 3, 32, 32)}


class Tiny(NamedTuple):
    """Arguments of a small method, and the shape of each image of a sample."""

    arguments: dict[str, Any]
    images: dict[str, tuple[int, ...]] = CLIP


TINY = {
    "VFSSimSiam": Tiny({"backbone": BACKBONE, "projector_dim": 16, "predictor_dim": 8}),
    "VFSMoCo": Tiny({"backbone": BACKBONE, "projection_dim": 8, "queue_size": 24}),
    "Liir": Tiny(
        {"position_size": 16, "radius": 2, "bank": {"frames": 6, "points": 2}, "schedule": {"warmup_epochs": 0}}
    ),
    "ContrastiveRandomWalk": Tiny(
        {"backbone": BACKBONE, "patch_size": 16, "patch_stride": 16}, {"clip": (3, 3, 32, 32)}
    ),
    "SiameseMAE": Tiny({"backbone": VIT} | DECODER),
    "CoSettle": Tiny({"backbone": VIT}),
    "SiamFC": Tiny({"backbone": BACKBONE}, {"exemplar": (3, 120, 120), "search": (3, 239, 239)}),
    "LinearProbe": Tiny({"backbone": BACKBONE, "num_classes": 3}, {"image": (3, 64, 64)}),
}


def tiny(name: str) -> Any:
    """Return a small method with seeded weights."""
    torch.manual_seed(0)
    return getattr(lightning_modules, name)(**TINY[name].arguments)


def tiny_batch(name: str, samples: int = 2) -> dict[str, Tensor]:
    """Return noise for a small method: images, videos and classes."""
    images = {image: torch.rand(samples, *shape) for image, shape in TINY[name].images.items()}
    return images | {"video_index": torch.arange(samples), "label": torch.arange(samples) % 3}


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
