"""What all methods share: a backbone that benchmarks can look into, a validation loss, a plan printed at the start."""

from abc import abstractmethod
from typing import Any, ClassVar, cast

import torch
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .backbones import Normalise, extractor_of
from .backbones.build import Stage
from .backbones.extractor import Dilated
from .checkpoints import SavedModule
from .schedules import scaled_lr, sgd_with_cosine

Batch = dict[str, Any]
"""What a video DataModule gives: `clip` float RGB `(B, T, 3, H, W)` in [0, 1], `video_index` long `(B,)`, …

A loader without held-out videos gives one empty batch, so that Lightning runs the validation hooks; modules skip it.
"""


class CorrespondenceModule(SavedModule):
    """Base of the methods; owns the backbone, its normalisation, and the contract with the benchmarks.

    A method defines `loss(batch)`. What a training step returns is public for callbacks: `loss`, and where a method has
    them `embeddings`, `(B·T, D)` detached.
    """

    backbone: nn.Module
    compile_options: ClassVar[dict[str, Any]] = {}
    """Of `torch.compile`, where a method's `compile` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Everything one batch yields: `loss` (scalar), and what callbacks may want to see, detached."""

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """One step; logs `train/loss`."""
        published = self.step(batch)
        self.log("train/loss", published["loss"], prog_bar=True, batch_size=len(batch["clip"]))
        return published

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """The same objective on held-out videos; logs `val/loss`."""
        if "clip" in batch:
            loss = self.step(batch)["loss"]
            self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["clip"]))

    def predict_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """See `features_of`."""
        return features_of(self, batch)

    def val_dataloader(self) -> DataLoader[Any]:
        """What stands in where no DataModule gives held-out videos."""
        return one_empty_batch()

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, dilated: Dilated = False) -> nn.Module:
        """A view of the backbone for benchmarks; it shares the weights and leaves this module as it is.

        Args:
            stage: `res2 … res5`, a block such as `res4.b1`, or a list of them for several maps in one pass.
            stride: pixels per cell, by removing strides; None is 8.
            dilated: SiamFC's dilations of res4 and res5 instead, see `ResNetExtractor`.

        Returns:
            A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`.

        Raises:
            ValueError: if the backbone has no such stage, stride or dilation.
        """
        return extractor_of(self.backbone, stage, stride, dilated).to(self.device)

    def global_batch(self) -> int:
        """Videos per optimiser step over all devices and accumulated batches."""
        self.trainer.fit_loop.setup_data()
        loader = self.trainer.train_dataloader
        size = getattr(loader, "batch_size", None)
        if size is None:
            raise ValueError(f"{type(loader).__name__} has no batch_size: the learning rate is scaled with it")
        return int(size * self.trainer.world_size * self.trainer.accumulate_grad_batches)

    def total_steps(self) -> int:
        """Optimiser steps of the whole run, which learning rates are scheduled over.

        Raises:
            ValueError: if only time limits the run.
        """
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                "the learning rate needs the length of the run: set trainer.max_epochs or trainer.max_steps"
            )
        return int(steps)

    def scaled_sgd(self) -> OptimizerLRScheduler:
        """SGD by `base_lr`, `momentum` and `weight_decay`, the rate scaled and decaying to 0 by a cosine (VFS, 4.1)."""
        settings, steps = self.hparams, self.total_steps()
        lr = scaled_lr(settings["base_lr"], self.global_batch())
        return sgd_with_cosine(self, lr, settings["momentum"], settings["weight_decay"], steps)

    def plan(self) -> dict[str, str]:
        """What is about to happen, as rows of a table; methods add theirs."""
        trainer, steps = self.trainer, self.total_steps()
        devices, accumulated, batch = trainer.world_size, trainer.accumulate_grad_batches, self.global_batch()
        rates = [f"{group.get('initial_lr', group['lr']):.6g}" for group in trainer.optimizers[0].param_groups]
        return {
            "method": type(self).__name__,
            "backbone": f"{self.hparams.get('backbone')}, {_millions(self.backbone)} of {_millions(self)} M parameters",
            "global batch": f"{batch} videos = {batch // devices // accumulated} per device × {devices} device(s) × "
            f"{accumulated} accumulated",
            "learning rate": f"{', '.join(rates)} at the start",
            "steps": f"{steps} in {trainer.max_epochs} epochs" if (trainer.max_epochs or 0) > 0 else str(steps),
            "BatchNorm": self._batch_norm_groups(),
            "precision": f"{trainer.precision}{', backbone compiled' * bool(self.hparams.get('compile'))}",
        }

    def on_fit_start(self) -> None:
        """Refuse what cannot work; compile what is to be compiled."""
        synchronised = any(isinstance(module, nn.SyncBatchNorm) for module in self.modules())
        if synchronised and self.device.type == "cpu":
            raise ValueError("trainer.sync_batchnorm=true: SyncBatchNorm does not run on a CPU; leave it out there")
        if self.hparams.get("compile"):
            # in place: names in checkpoints stay, and what is copied from here, as extractors are, is not compiled
            for network in self.compiled_networks():
                network.compile(**self.compile_options)

    def compiled_networks(self) -> list[nn.Module]:
        """What `compile` compiles."""
        return [self.backbone]

    def on_train_start(self) -> None:
        """Print the plan, once everything that it tells is known."""
        # The schedule needs the loader before Lightning restores its state, and Lightning then forgets to: a run
        # resumed within an epoch would see the epoch's first batches again.
        self.trainer.fit_loop._load_combined_loader_states()
        plan = self.plan()
        width = max(map(len, plan))
        rank_zero_info("\n".join(f"  {name:<{width}}  {text}" for name, text in plan.items()))

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Refuse bytes, which a loader of a user's own may give; our DataModules turn them into shares on the device.

        Raises:
            ValueError: if `clip` is of bytes.
        """
        if isinstance(batch, dict) and isinstance(clip := batch.get("clip"), Tensor) and clip.dtype == torch.uint8:
            raise ValueError("clip is of bytes: give float RGB in [0, 1], clip.float() / 255")

    def _batch_norm_groups(self) -> str:
        kinds = {type(m).__name__ for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
        if not kinds:
            return "none"
        if "SyncBatchNorm" in kinds:
            return f"SyncBatchNorm: one group over {self.trainer.world_size} device(s)"
        return f"{', '.join(sorted(kinds))}: each device normalises its own frames"


def _millions(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f}"


def features_of(module: Any, batch: Batch) -> dict[str, Tensor]:
    """What a prediction step gives: `features` `(B, T, C, h, w)` of the frames of `clip`, where a batch has them.

    A video that is only named, as by `PromptedVideoDataModule`, is followed by a callback, at the callback's stage.
    """
    if "clip" not in batch:
        return {}
    clip: Tensor = batch["clip"]
    return {"features": module.feature_extractor()(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])}


def one_empty_batch() -> DataLoader[Any]:
    """A loader of one empty batch: without a batch Lightning runs no validation hooks, and so no benchmarks."""
    return DataLoader(cast(Dataset[Any], [{}]), batch_size=None)


def split_views(clip: Tensor) -> tuple[Tensor, Tensor]:
    """The two views of VFS: the first and the last half of a clip's frames (VFS, section 3.2).

    Args:
        clip: `(B, n, …)`, frames in time order.

    Returns:
        Two tensors `(B, n/2, …)`.

    Raises:
        ValueError: if n is odd.
    """
    if clip.shape[1] % 2:
        raise ValueError(f"a clip of {clip.shape[1]} frames cannot be split into two views: use an even number")
    first, second = torch.chunk(clip, 2, dim=1)
    return first, second
