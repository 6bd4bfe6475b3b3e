"""Base of the methods: backbone, training and validation steps, and extractors for benchmarks."""

import copy
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial, wraps
from numbers import Real
from traceback import walk_tb
from typing import Any, ClassVar, Self

import torch
from pytorch_lightning.callbacks import BatchSizeFinder, LearningRateFinder
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.seed import isolate_rng
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torchmetrics import MeanMetric

from vidcorr import loops
from vidcorr.backbones import (
    Encoder,
    NetworkName,
    Normalise,
    TrainedViews,
    freeze_unused,
    trainable_network,
    width_of,
)
from vidcorr.backbones.extractor import View
from vidcorr.description import Input, Network
from vidcorr.functional.device import PendingCopy
from vidcorr.functional.images import as_floats, prepared
from vidcorr.functional.seeds import run_seed

from .parts.batches import join_loaders, parts_of
from .parts.distributed import keyed_generator, means_over_ranks
from .parts.saving import SavedModule
from .parts.schedules import continue_schedule, cosine_factor, scheduled
from .parts.shuffle_bn import batch_norm_groups as batch_norm_groups

Batch = dict[str, Any]
"""A batch of a video DataModule: `clip` float RGB `(B, T, 3, H, W)` in [0, 1], `video_index` long `(B,)`, …

A loader without held-out videos gives an empty batch, so that Lightning runs the validation hooks; modules skip it.
"""
SLACK = 0.25
"""Values of images may exceed [0, 1] by this much, since bicubic resizing overshoots."""


class CorrespondenceModule(SavedModule):
    """Base of the methods. A method defines

    - `step(batch)`, which returns a loss, or a dict of `loss`, further scalars, which are logged as `train/NAME`, and
      detached tensors for callbacks (for example `embeddings` `(N, D)` for `CollapseMonitor`);
    - `configure_optimizers()`, or `base_lr`, `momentum` and `weight_decay` of SGD with a cosine schedule;
    - `images`, if its batches hold no `clip`, and `further_keys`, if `step` reads more than images;
    - `synchronises_batch_norm`, if statistics are taken over all GPUs that train (SyncBatchNorm).
    """

    backbone: nn.Module
    scored_input: Input | None = None
    """RGB of the backbone for benchmarks; None: as the backbone states."""
    base_lr: float
    lr: float | None = None
    """Learning rate as it stands, in place of the scaled `base_lr`: `Tuner(trainer).lr_find(module)` sets it."""
    momentum: float
    weight_decay: float
    synchronises_batch_norm: ClassVar[bool] = False
    samples: str = "videos"
    """Noun for the samples of a batch in the plan."""
    images: ClassVar[Mapping[str, str]] = {"clip": "B, T, 3, H, W"}
    """Images of a batch and their axes, float RGB in [0, 1]; the first batch of an epoch is checked."""
    further_keys: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: object) -> None:
        """Let `step` get prepared batches, whoever calls it: a Trainer, Fabric or a loop."""
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _with_prepared_batch(vars(cls)["step"])  # type: ignore[assignment, method-assign]

    def __init__(self) -> None:
        super().__init__()
        self.normalise: nn.Module = Normalise()
        self.views = TrainedViews()
        self.unused: list[str] = []
        # Lightning's mean divides by a rounded number of samples where ranks have unequal shares, and leaves NaN out
        self.validation_loss = MeanMetric(nan_strategy=math.nan)
        # key of `generator` → its calls, where no Trainer counts
        self._drawn: Counter[tuple[int, ...]] = Counter()
        # id of the training loaders, and samples of their batch
        self._counted = (0, 0)
        self._seed: int | None = None
        self._run_seed = run_seed()

    def network_to_train(self, spec: NetworkName) -> nn.Module:
        """Build the network to train, by its name or from a checkpoint; freeze the parts that no map reads (`unused`).

        A checkpoint of this module needs no other file, such as the checkpoint with which the training began. A network
        gets the input that it states; else a library's gets ImageNet's, a user's own RGB in [0, 1].

        Raises:
            ValueError: for an unknown network.
        """
        encoder = trainable_network(spec)
        network: nn.Module = encoder.network
        self.described = encoder.described
        self.scored_input = encoder.input
        self.normalise = Normalise(encoder.input.mean, encoder.input.std)
        self.views = TrainedViews(encoder.default_stage)
        # by a copy: `maps` keeps what it has made of the network, but the method may yet replace parts of the network
        self.unused = freeze_unused(partial(copy.copy(self.views).maps, network), network)
        # for a checkpoint a plain name of random weights; else its fields, since its file may be gone
        name_is_enough = isinstance(spec, str) and not encoder.described.loaded and encoder.default_stage is None
        again = encoder.spec
        self._networks["backbone"] = again and (again.spec if name_is_enough else again.to_dict())
        return network

    @property
    def seed(self) -> int:
        """Seed of the method's draws: the seed that was set, else the argument `seed`, else the run's seed."""
        own_seed = self.hparams.get("seed") if self._seed is None else self._seed
        return self._run_seed if own_seed is None else own_seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        self._seed = seed

    def arguments_again(self) -> dict[str, Any]:
        """Return the arguments with the present seed, if there is an argument `seed`."""
        return super().arguments_again() | ({"seed": self.seed} if "seed" in self.hparams else {})

    def maps(self, images: Tensor, stage: str | None = None, network: nn.Module | None = None) -> Tensor:
        """Return the map of each image, RGB `(N, 3, H, W)`, floats in [0, 1] or bytes → `(N, C, h, w)`, with gradient.

        Args:
            images: RGB.
            stage: a stage of the backbone; None: of its name, `NAME@STAGE`, else its last one, at its own strides.
            network: None is the backbone; or a copy of it, such as a moving average.

        Raises:
            ValueError: for images of another form, such as clips.
        """
        if images.ndim != 4:
            remedy = "batch['clip'].flatten(0, 1) has the frames of all clips"
            raise ValueError(f"images must be (N, 3, H, W), got {tuple(images.shape)}: {remedy}")
        images = as_floats(images)
        network = self.backbone if network is None else network
        if isinstance(network, View):
            return network.feature_extractor(stage)(images)
        return self.views.maps(network, self.normalise(images), stage)

    def embed(self, images: Tensor, network: nn.Module | None = None) -> Tensor:
        """Return the mean of `maps` for each image, `(N, C)`: of a ViT over its patches, not the class token."""
        return self.maps(images, network=network).mean(dim=(2, 3))

    @property
    def backbone_width(self) -> int:
        """Number of channels of `maps` and `embed`."""
        # by a copy: parts of a new module may be replaced before its first pass
        views = copy.copy(self.views)
        return width_of(partial(views.maps, self.backbone), self.backbone)

    # One step

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor] | Tensor:
        """Return `loss`, a scalar, further scalars to log, and detached tensors for callbacks; or the loss alone."""

    def end_step(self) -> None:
        """End an optimiser step where no Trainer does: momentum encoder and queue then move."""

    def samples_in(self, batch: Batch) -> int:
        """Return the number of samples in a batch; of several loaders' batches together, the sum."""
        first = next(iter(self.images))
        return sum(len(part[first]) for part in parts_of(batch, first))

    def generator(self, *further: int) -> torch.Generator:
        """Return a CPU generator for the draws of `step`, in the same state on all ranks.

        The state is a function of `seed`, `further`, epoch and batch; in validation of `seed` and `further` alone.
        Without a Trainer the n-th call in training for a `further` takes the place of batch n of epoch 0.

        Args:
            further: numbers that lengthen the key, for example the rank; in a step each key is used once.
        """
        if not self.training:
            return keyed_generator(self.seed, *further)
        trainer = self.counting_trainer
        if trainer is None:
            position = (0, self._drawn[further])
            self._drawn[further] += 1
        else:
            position = loops.place_of_batch(trainer)
        return keyed_generator(self.seed, *position, *further)

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Compute the loss of a batch; log it as `train/loss`, and every other scalar of `step` as `train/NAME`.

        Raises:
            ValueError: if the first batch of the epoch lacks a key, or has images of another form or range.
        """
        outputs = self._checked_step(batch, batch_index)
        scalars: dict[str, Any] = {"train/loss": outputs["loss"]}
        for name, value in outputs.items():
            is_scalar = value.ndim == 0 if isinstance(value, Tensor) else isinstance(value, Real)
            if is_scalar:
                scalars[f"train/{name}"] = value
        self._log_scalars(scalars, batch_index, self.samples_in(batch))
        return outputs

    def _log_scalars(self, scalars: Mapping[str, Any], batch_index: int, size: int) -> None:
        """Log scalars of a training step.

        Of several ranks the means are logged, in the steps that the Trainer logs, and in the last step of an epoch. If
        a callback or a schedule monitors one of the scalars, the means are logged in every step. Lightning's
        `sync_dist` would hold all ranks at a barrier for each scalar of each step.
        """
        trainer = self.counting_trainer
        if trainer is not None and trainer.world_size > 1:
            readers: list[Any] = [*trainer.callbacks, *trainer.lr_scheduler_configs]
            is_monitored = any(getattr(reader, "monitor", None) in scalars for reader in readers)
            # the last batch counts for the means of an epoch
            if not (is_monitored or trainer.is_last_batch or loops.logs_step_of(trainer, batch_index)):
                return
            scalars = means_over_ranks(scalars, self.device)
        # Lightning's bar reads the loss at every step, and would wait for a GPU
        in_bar = self.device.type == "cpu"
        for name, value in scalars.items():
            self.log(name, value, prog_bar=in_bar and name == "train/loss", batch_size=size)

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """Compute the objective on held-out data; log `val/loss`, the mean over all samples of all ranks.

        With several loaders, each loader has a mean of its own, `val/loss/dataloader_idx_0` and so on.

        Returns:
            The outputs of `step`, as a dict with `loss`; None for the empty batch of a run without held-out data.
        """
        if not batch:
            return None
        if batch_index == 0:
            # begins the mean of a loader; it also replaces tensors that `validate` made in inference mode, since a
            # later `fit` may not change these in place
            self.validation_loss.reset()
        outputs = self._checked_step(batch, batch_index)
        size = self.samples_in(batch)
        self.validation_loss.update(outputs["loss"], size)
        self.log("val/loss", self.validation_loss, prog_bar=True, batch_size=size)
        return outputs

    def prepared(self, batch: object) -> Any:
        """Return a batch as `step` reads it: floats in [0, 1], its colours applied, several loaders' batches joined."""
        return join_loaders(prepared(batch), next(iter(self.images)))

    def _checked_step(self, batch: Batch, batch_index: int) -> dict[str, Any]:
        """Return the outputs of `step` as a dict with `loss`; check them, and the batch of index 0."""
        batch = self.prepared(batch)
        if batch_index == 0:
            self._require_keys(batch, {*self.images, *self.further_keys})
            check_images(batch, self.images)
        try:
            outputs = self.step(batch)
        except KeyError as error:
            *_, (frame, _) = walk_tb(error.__traceback__)
            if frame.f_code.co_name == "step":
                self._require_keys(batch, {*self.images, *map(str, error.args)})
            raise
        outputs = outputs if isinstance(outputs, dict) else {"loss": outputs}
        loss = outputs.get("loss")
        fault = ""
        if not isinstance(loss, Tensor):
            fault = f"no loss but {type(loss).__name__}"
        elif loss.numel() != 1:
            fault = f"a loss of shape {tuple(loss.shape)}, not its mean()"
        elif torch.is_grad_enabled() and self.training and not loss.requires_grad:
            fault = "a loss without a gradient, detached or of nothing that is trained"
        if fault:
            raise ValueError(f"{type(self).__name__}.step returned {fault}: it returns a scalar, or a dict with loss")
        return outputs

    def _require_keys(self, batch: object, read: set[str]) -> None:
        keys = list(batch) if isinstance(batch, Mapping) else []
        if read.issubset(keys):
            return
        images = [f"{name} ({axes})" for name, axes in self.images.items()]
        needed = " and ".join([*images, *sorted(read.difference(self.images))])
        present = ", ".join(map(str, keys)) or f"no keys: it is a {type(batch).__name__}"
        raise ValueError(f"{type(self).__name__} needs a batch with {needed}; the batch has {present}")

    # Rate and length of a training

    def samples_per_device(self) -> int:
        """Return the number of samples of a device's batch; it makes the training's loader if there is none yet."""
        loops.make_loader(self.trainer)
        loaders: Any = self.trainer.train_dataloader
        if loaders is None:
            return 0
        if self._counted[0] != id(loaders):
            self._counted = (id(loaders), self._samples_from(loaders))
        return self._counted[1]

    def _samples_from(self, loaders: Any) -> int:
        first = next(iter(self.images))
        if isinstance(loaders, Mapping):
            # loaders by the names of the method's images, such as exemplar and search, give parts of the same samples
            loaders = [loaders[first]] if first in loaders else list(loaders.values())
        if isinstance(loaders, list | tuple):
            return sum(map(self._samples_from, loaders))
        batch_sampler = getattr(loaders, "batch_sampler", None)
        size = getattr(loaders, "batch_size", None) or getattr(batch_sampler, "batch_size", None)
        if size is None:
            state = loaders.state_dict() if hasattr(loaders, "state_dict") else None
            with isolate_rng():
                size = self.samples_in(next(iter(loaders)))
            if state is not None:
                loaders.load_state_dict(state)
        return int(size)

    def global_batch(self) -> int:
        """Return the number of samples per optimiser step over all devices and accumulated batches.

        Raises:
            ValueError: if more batches are accumulated than an epoch has. Lightning steps at the end of an epoch in any
                case, so the step would have fewer samples than its learning rate is for.
        """
        samples = self.samples_per_device()
        accumulated = self.trainer.accumulate_grad_batches
        if 0 < self.trainer.num_training_batches < accumulated:
            raise ValueError(f"trainer.accumulate_grad_batches {accumulated}: an epoch has fewer batches")
        return samples * self.trainer.world_size * accumulated

    def rate_of_batch(self, base_lr: float) -> float:
        """Return `base_lr`, the learning rate for a batch of 256, scaled linearly to the global batch.

        If `lr` is set, for example by Lightning's `lr_find`, `lr` is returned unscaled.

        Source: Goyal et al., Accurate, Large Minibatch SGD (2017).
        """
        if self.lr is not None:
            return self.lr
        return base_lr * self.global_batch() / 256

    def total_steps(self) -> int:
        """Return the number of optimiser steps of the run, at least 1: the length of learning-rate schedules.

        Raises:
            ValueError: if only a time limits the run, or its epochs have no length.
        """
        if self.trainer.limit_train_batches == 0:
            return 1
        steps = self.trainer.estimated_stepping_batches
        if not 0 <= steps < float("inf"):
            raise ValueError("the learning rate needs the run's length: set trainer.max_steps")
        return max(1, int(steps))

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch.

        Raises:
            ValueError: if an epoch has no length.
        """
        loops.make_loader(self.trainer)
        batches = self.trainer.num_training_batches
        if batches == float("inf") and self.trainer.limit_train_batches != 0:
            raise ValueError("the learning rate needs the length of an epoch: set trainer.limit_train_batches")
        return math.ceil(batches / self.trainer.accumulate_grad_batches) if self.trainer.limit_train_batches else 1

    def learned_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that take a gradient."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def sgd_with_cosine(self, base_lr: float, weight_decay: float, momentum: float = 0.9) -> OptimizerLRScheduler:
        """Return SGD over the parameters that take a gradient, with a cosine schedule by step to 0 (VFS, section 4.1).

        Args:
            base_lr: learning rate for a global batch of 256, scaled linearly.
            weight_decay: weight decay of every parameter, biases and norms included (as in the VFS code).
            momentum: momentum of SGD.
        """
        steps = self.total_steps()
        optimizer = SGD(self.learned_parameters(), self.rate_of_batch(base_lr), momentum, weight_decay=weight_decay)
        return scheduled(optimizer, lambda step: cosine_factor(step, steps))

    def adamw_with_warmup(self, base_lr: float, weight_decay: float, warmup: float) -> OptimizerLRScheduler:
        """Return AdamW over the parameters that take a gradient, with a warm-up and a half cosine by step to 0.

        Biases, norms and all else of one dimension have no weight decay; betas are 0.9 and 0.95.

        Source: MAE (He et al., CVPR 2022), `main_pretrain.py`.

        Args:
            base_lr: learning rate at the end of the warm-up for a global batch of 256, scaled linearly.
            weight_decay: weight decay.
            warmup: length of the warm-up, fraction of the run, in [0, 1).

        Raises:
            ValueError: for another warm-up.
        """
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup must be a fraction of the run in [0, 1), got {warmup}")
        from timm.optim import param_groups_weight_decay

        steps = self.total_steps()
        groups = param_groups_weight_decay(self, weight_decay)[::-1]
        optimizer = AdamW(groups, self.rate_of_batch(base_lr), betas=(0.9, 0.95))
        return scheduled(optimizer, lambda step: cosine_factor(step, steps, warmup * steps))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return `sgd_with_cosine` by `base_lr`, `weight_decay` and `momentum`; ValueError without these."""
        absent = [name for name in ("base_lr", "weight_decay", "momentum") if not hasattr(self, name)]
        if absent:
            needed = f"{', '.join(absent)} for SGD: set them, or define configure_optimizers"
            raise ValueError(f"{type(self).__name__} has no {needed}")
        return self.sgd_with_cosine(self.base_lr, self.weight_decay, self.momentum)

    # Hooks of a training

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a backbone that does not learn stays in eval mode and keeps its BatchNorm statistics."""
        super().train(mode)
        self._hold_frozen_backbone()
        return self

    @property
    def backbone_learns(self) -> bool:
        """True if a parameter of the backbone takes a gradient."""
        return any(parameter.requires_grad for parameter in self.backbone.parameters())

    def _hold_frozen_backbone(self) -> None:
        if self.backbone_learns:
            return
        for name, network in self.named_children():
            if name in ("backbone", "target_encoder"):
                network.eval()

    def configure_model(self) -> None:
        """Begin a `fit`: forget what an earlier one left, and convert to SyncBatchNorm where several GPUs need it."""
        trainer = self.counting_trainer
        if trainer is None:
            return
        if not hasattr(self, "backbone"):
            raise ValueError(f"{type(self).__name__} has no backbone: self.backbone = self.network_to_train(NAME)")
        loops.restore_accumulation(trainer)
        # loaders of an earlier `fit` may have had the ids of this one's
        self._counted = (0, 0)
        synchronises = self.synchronises_batch_norm and trainer.world_size > 1
        if synchronises and trainer.strategy.root_device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(self)
            # a copy has no views yet: those of the replaced parts are gone
            self.views = copy.copy(self.views)

    def on_train_start(self) -> None:
        """Begin a training, once a checkpoint is loaded: describe the backbone, follow the schedule, print the plan.

        Raises:
            ValueError: for a callback of Lightning that finds a batch size or a rate.
        """
        for finder in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(finder, BatchSizeFinder | LearningRateFinder):
                remedy = "call scale_batch_size or lr_find of Tuner(trainer) before fit"
                raise ValueError(f"{type(finder).__name__} comes after the learning rates are made; {remedy}")
        self._hold_frozen_backbone()
        if self.trainer.ckpt_path:
            continue_schedule(self.lr_schedulers())
        self._print_plan()
        if self.backbone_learns and self.described is not None:
            # `loaded`: the weights are not random; seed and recipe were those of the weights before this training
            trained = {"weights": f"trained by {type(self).__name__}", "seed": None, "loaded": True, "recipe": ""}
            self.described = self.described.model_copy(update=trained)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the checkpoint, then restore the loops, earlier than Lightning does.

        Before Lightning restores the loops, a schedule asks for the number of batches, and the Trainer makes the
        loaders. A loader that is made before the loops are restored gets no state, and would begin at its first batch.
        """
        super().on_load_checkpoint(checkpoint)
        if self.trainer.state.fn == "fit" and "loops" in checkpoint:
            loops.restore_early(self.trainer, checkpoint)

    def _print_plan(self) -> None:
        plan = self._common_rows() | self.plan_rows()
        for planner in (self.trainer.datamodule, *self.trainer.callbacks):  # type: ignore[attr-defined]
            if hasattr(planner, "plan_row"):
                name, text = planner.plan_row()
                plan[name] = f"{plan[name]}; {text}" if name in plan else text
        width = max(map(len, plan))
        rank_zero_info("\n".join(f"  {name:<{width}}  {text}" for name, text in plan.items()))

    def _common_rows(self) -> dict[str, str]:
        trainer = self.trainer
        described = self.described or Network(name="")
        # a checkpoint has replaced the described weights
        weights = "" if trainer.ckpt_path else described.weights
        name = ", ".join(filter(None, (described.spec or type(self.backbone).__name__, weights)))
        plan = {"method": type(self).__name__}
        plan["backbone"] = f"{name}, {millions(self.backbone)} of {millions(self)} M parameters"
        if self.unused:
            plan["not trained"] = f"{', '.join(self.unused)}: no part of the map"
        plan |= self._map_row()
        devices = f"{self.samples_per_device()} per device × {trainer.world_size} device(s)"
        accumulated = f"{trainer.accumulate_grad_batches} accumulated"
        plan["global batch"] = f"{self.global_batch()} {self.samples} = {devices} × {accumulated}"
        plan["learning rate"] = self._learning_rates()
        lengths = {"epochs": trainer.max_epochs, "steps": trainer.max_steps}
        limits = [f"{length} {unit}" for unit, length in lengths.items() if length not in (None, -1)]
        plan["length"] = ", at most ".join(limits) or "until trainer.max_time"
        plan["precision"] = str(trainer.precision)
        if self.synchronises_batch_norm and trainer.world_size > 1 and trainer.strategy.root_device.type != "cuda":
            plan["BatchNorm"] = "statistics of each process alone: SyncBatchNorm needs GPUs"
        return plan

    def _map_row(self) -> dict[str, str]:
        if self.has_own_features or not self.backbone_learns:
            return {}
        trained = self.views.view_of(self.backbone, self.views.stage).stage
        scored = self.evaluated.view().stage
        return {} if trained == scored else {"map": f"{trained} is trained, {scored} is scored where nobody names one"}

    def _learning_rates(self) -> str:
        step = self.trainer.global_step
        optimizer = self.trainer.optimizers[0]
        rates = ", ".join(f"{group['lr']:.6g}" for group in optimizer.param_groups)
        text = f"{rates} at step {step}" if step else f"{rates} at the start"
        if self.lr is not None:
            return text
        base_lr = getattr(self, "base_lr", None) or 0.0
        before_schedule = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        if any(math.isclose(rate, self.rate_of_batch(base_lr)) for rate in before_schedule):
            return f"{text}, base_lr {base_lr:.6g} × {self.global_batch()} / 256"
        return f"{text}, {type(optimizer).__name__}'s own"

    def plan_rows(self) -> dict[str, str]:
        """Return rows of the plan that is printed before a training, name → text, in place of common ones."""
        return {}

    # Features for benchmarks

    @property
    def evaluated(self) -> Encoder:
        """The encoder that benchmarks evaluate: the backbone with its input, which may differ from the training's."""
        return Encoder(self.backbone, self.scored_input, self.views.stage, described=self.described)


def _with_prepared_batch(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(step)
    def prepared_step(self: Any, batch: Any) -> Any:
        return step(self, self.prepared(batch))

    return prepared_step


def check_images(batch: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Raise ValueError for images that are not floats, of other axes, or beyond [0, 1] by more than `SLACK`.

    Args:
        batch: a loader's batch.
        images: name → axes, for example `clip` → `B, T, 3, H, W`.
    """
    for name, axes in images.items():
        tensor: Tensor = batch[name]
        wanted = f"{name} must be float RGB ({axes}) in [0, 1]"
        if not tensor.is_floating_point():
            raise ValueError(f"{wanted}, got {tensor.dtype}: divide bytes by 255, or give the Trainer our DataModule")
        if tensor.ndim != len(axes.split(", ")) or tensor.shape[-3] != 3:
            raise ValueError(f"{wanted}, got shape {tuple(tensor.shape)}")
        extremes = torch.stack(torch.aminmax(tensor.detach().float()))
        low, high = PendingCopy(extremes).wait().tolist()
        # written so that NaN is refused too
        if not (low >= -SLACK and high <= 1 + SLACK):
            raise ValueError(f"{wanted}, got values from {low:.4g} to {high:.4g}: the method normalises them itself")


def millions(module: nn.Module) -> str:
    """Return the number of parameters of a module, in millions."""
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.3g}"
