"""Base of the methods: extractors for benchmarks, training and validation steps, checkpoints, the plan of a run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import torch
from pytorch_lightning.callbacks import BatchSizeFinder
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from vidcorr.backbones import Normalise, TypeOfWeights, extractor_of, normalises_itself, trainable_network
from vidcorr.backbones.description import Network, path_to_network
from vidcorr.backbones.encoders import NamedEncoder, StageNames
from vidcorr.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.backbones.trust import import_path
from vidcorr.functional.ranks import world_size_and_rank

from .freed_memory import keep_freed_memory
from .parts.checks import Batch as Batch, check_images, named_outputs, require_gradient, scalars_of
from .parts.distributed import keyed_generator
from .parts.heads import single_values_named
from .parts.plan import batch_norm_text, millions
from .parts.saving import SavedModule
from .parts.schedules import SampleLR, continue_schedule, cosine_factor, samples_of_step, scaled_lr, scheduled
from .sample_mean import SampleMean


class Planned(ABC):
    """Base of callbacks that add to the plan that is printed before training."""

    @abstractmethod
    def plan_row(self) -> tuple[str, str]:
        """Return name and text of a row; callbacks with the same name share a row."""


class ExtractorModule(SavedModule):
    """Base of modules with a feature extractor for benchmarks."""

    @abstractmethod
    def feature_extractor(self, stage: StageNames = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view for benchmarks: RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`; None is the default choice."""

    def predict_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Return `features`, `(B, T, C, h, w)`, of the frames of `clip`."""
        clip: Tensor = batch["clip"]
        return {"features": self.feature_extractor()(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])}

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of an empty batch, for runs without held-out videos: Lightning runs validation hooks."""
        return DataLoader([{}], batch_size=None)  # type: ignore[arg-type]


class CorrespondenceModule(ExtractorModule):
    """Base of the methods: backbone, normalisation, training and validation steps, and extractors for benchmarks.

    A method defines

    - `step(batch)`, which returns a loss, or a dict of `loss`, further scalars, which are logged as `train/NAME`, and
      detached tensors for callbacks (for example `embeddings` `(N, D)` for `CollapseMonitor`);
    - `configure_optimizers()`;
    - `images`, if its batches hold no `clip`.
    """

    backbone: nn.Module
    described: Network | None = None
    """Description of the backbone; None for a backbone without a name."""
    compile_options: ClassVar[dict[str, Any]] = {}
    """Arguments of `torch.compile`, used if the hyper-parameter `compile` is set."""
    synchronises_batch_norm: ClassVar[bool] = False
    """Training on several GPUs takes BatchNorm statistics over all GPUs (SyncBatchNorm)."""
    suited_benchmark: ClassVar[str | None] = "davis"
    """Benchmark suggested after a run without benchmarks; None if no benchmark evaluates the module."""
    samples: ClassVar[str] = "videos"
    """Noun for the samples of a batch, in the plan that is printed before training."""
    images: ClassVar[Mapping[str, str]] = {"clip": "B, T, 3, H, W"}
    """Images of a batch and their axes, float RGB in [0, 1]; the first batch is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise: nn.Module = Normalise()
        self.validation_loss = SampleMean()
        self._batch_position = (0, 0)  # epoch and batch, the key of random draws
        self._batch_of_rate: int | None = None  # the global batch that the learning rate was scaled for
        self._has_checked_batch = False
        self._is_held_in_eval = False  # the backbone, because it does not learn

    def network_to_train(self, spec: str) -> nn.Module:
        """Build a network by its name, or of a checkpoint to start from; store its name as hyper-parameter `backbone`.

        A checkpoint to start from is thus not needed again: the module's checkpoints hold the weights. A user's own
        module takes RGB in [0, 1] in training too.

        Raises:
            ValueError: for an unknown network, or a module in place of its name.
        """
        network, self.described = trainable_network(spec)
        self.hparams["backbone"] = self.described.spec
        if normalises_itself(network):
            self.normalise = TypeOfWeights()
        return network

    def check_choices(self) -> None:
        """Refuse a hyper-parameter that is not among the words of its annotation.

        Raises:
            ValueError: one line that lists the words.
        """
        for name, hint in get_type_hints(type(self).__init__).items():
            if get_origin(hint) is Literal and self.hparams[name] not in get_args(hint):
                words = " or ".join(map(repr, get_args(hint)))
                raise ValueError(f"{name} must be {words}, got {self.hparams[name]!r}")

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a backbone that does not learn stays in eval mode and keeps its BatchNorm statistics."""
        super().train(mode)
        if mode:
            self._is_held_in_eval = False
            self._hold_frozen_backbone()
        return self

    def copies_of_backbone(self) -> list[nn.Module]:
        """Return the backbone and its moving average, if there is one."""
        return [self.backbone]

    def _hold_frozen_backbone(self) -> None:
        """Put a backbone into eval mode once it is frozen, and back into training mode once it learns."""
        is_frozen = not any(parameter.requires_grad for parameter in self.backbone.parameters())
        if is_frozen == self._is_held_in_eval:
            return
        for network in self.copies_of_backbone():
            network.train(not is_frozen)
        self._is_held_in_eval = is_frozen

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor] | Tensor:
        """Compute the objective on a batch, in training and in validation.

        Returns:
            `loss`, a scalar, further scalars to log, and detached tensors for callbacks; or the loss alone.
        """

    def check_batch(self, batch: object) -> None:
        """Check shape and range of the first batch of a training, and of each pass of validation.

        Raises:
            ValueError: names what is wrong, and what to give.
        """
        if not self._has_checked_batch:
            check_images(batch, self.images)
            self._has_checked_batch = True

    def samples_in(self, batch: Batch) -> int:
        """Return the number of samples in a batch; 0 for the empty batch of a loader without held-out data."""
        first = next(iter(self.images))
        return len(batch.get(first, ()))

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Compute the loss of a batch; log it as `train/loss`, and every other scalar of `step` as `train/NAME`.

        Raises:
            ValueError: for a first batch of another form, a batch too small for a BatchNorm, or another form of what
                `step` returns.
        """
        self.check_batch(batch)
        self._batch_position = (self.current_epoch, batch_index)
        size = self.samples_in(batch)
        schedule = self.lr_schedulers()
        if isinstance(schedule, SampleLR):
            ranks, _ = world_size_and_rank()
            schedule.count(size * ranks)
        self._hold_frozen_backbone()
        outputs = self._outputs_of_step(batch)
        if self.automatic_optimization:
            require_gradient(outputs["loss"], type(self).__name__)
        shows = self.device.type == "cpu"  # Lightning's bar reads the loss at every step, and would wait for a GPU
        self.log("train/loss", outputs["loss"], prog_bar=shows, batch_size=size, sync_dist=True)
        scalars = {f"train/{name}": value for name, value in scalars_of(outputs).items()}
        self.log_dict(scalars, batch_size=size, sync_dist=True)
        return outputs

    def validation_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor] | None:
        """Compute the objective on held-out data; log `val/loss`, the mean over all samples of all ranks."""
        if not batch:
            return None
        self.check_batch(batch)
        size = self.samples_in(batch)
        outputs = self._outputs_of_step(batch)
        self.validation_loss.update(outputs["loss"], size)
        self.log("val/loss", self.validation_loss, prog_bar=True, batch_size=size)
        return outputs

    def _outputs_of_step(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs of `step`; a loss alone becomes a dict."""
        with single_values_named(self.samples_in(batch), self.samples):
            outputs = self.step(batch)
        return named_outputs(outputs, type(self).__name__)

    def feature_extractor(self, stage: StageNames = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the backbone for benchmarks; it shares the weights and does not change this module.

        Args:
            stage: `res2 … res5`, a block (`res4.b1`), or a list of names for several maps in a single pass; None is
                the network's default.
            stride: pixels per cell, reached by removing strides; None is the network's default, 8 for a ResNet.
            options: further options of the backbone's extractor, for example `dilated` of `ResNetExtractor`.

        Returns:
            A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`.

        Raises:
            ValueError: if the backbone has no such stage, stride or option.
        """
        view = extractor_of(self.backbone, stage, stride, **options).to(self.device)
        view.described = Network.of(self) if self.weights_origin else self.described
        return view

    def encoder_in_checkpoint(self) -> dict[str, Any] | None:
        """Return the encoder that a checkpoint stores for benchmarks, described by classes of the library.

        Returns:
            `class_path`, `init_args` and `weights` as `saved_encoder_of` gives them; None for a module with features
            of its own, whose class a checkpoint then needs.
        """
        if type(self).feature_extractor is not CorrespondenceModule.feature_extractor or self.described is None:
            return None
        arguments = {"spec": self.described.spec, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
        return {
            "class_path": import_path(NamedEncoder),
            "init_args": arguments,
            "weights": {"network.": "backbone."},
        }

    def global_batch(self) -> int:
        """Return the number of samples per optimiser step over all devices and accumulated batches."""
        return self.samples_per_device() * self.trainer.world_size * self.trainer.accumulate_grad_batches

    def rate_of_batch(self, base_lr: float) -> float:
        """Return a learning rate scaled with the global batch, which is not to change any more.

        Args:
            base_lr: learning rate for a global batch of 256.
        """
        self._batch_of_rate = self.global_batch()
        return scaled_lr(base_lr, self._batch_of_rate)

    def _refuse_a_batch_that_was_found(self) -> None:
        """Refuse to train at the rate of another batch: a search for one in `fit` comes after the optimiser."""
        searches = any(isinstance(callback, BatchSizeFinder) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        if searches and self._batch_of_rate not in (None, self.global_batch()):
            raise ValueError(
                f"BatchSizeFinder found a global batch of {self.global_batch()}, and the learning rate was scaled for "
                f"{self._batch_of_rate}: set batch_size={self.samples_per_device()}, without the callback"
            )

    def samples_per_device(self) -> int:
        """Return the number of samples that a device sees at a time."""
        self.trainer.fit_loop.setup_data()
        loader = self.trainer.train_dataloader
        if isinstance(loader, Mapping | Sequence):
            raise ValueError(f"{type(self).__name__} trains on a single loader, not on {len(loader)}: give one loader")
        size = getattr(loader, "batch_size", None)
        if size is None:  # a loader with a batch sampler
            size = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
        if size is None:
            raise ValueError(
                f"{type(loader).__name__} and its batch sampler need batch_size: the learning rate is scaled with it"
            )
        return int(size)

    def total_steps(self) -> int:
        """Return the number of optimiser steps of the run, the length of learning-rate schedules.

        Raises:
            ValueError: if only a time limits the run, or its epochs have no length.
        """
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError("the learning rate needs the run's length: set trainer.max_epochs or trainer.max_steps")
        if steps < 0:  # Lightning's -1 for a loader without a length
            raise ValueError("the learning rate needs the run's length, and the loader has none: set trainer.max_steps")
        return int(steps)

    def sgd_with_cosine(self, base_lr: float, weight_decay: float) -> OptimizerLRScheduler:
        """Return SGD over the parameters that take a gradient, with a cosine schedule by step to 0 (VFS, section 4.1).

        Args:
            base_lr: learning rate for a global batch of 256, scaled linearly.
            weight_decay: weight decay of every parameter, biases and norms included (as in the VFS code).
        """
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        lr = self.rate_of_batch(base_lr)
        steps = self.total_steps()
        optimizer = SGD(parameters, lr, self.hparams["momentum"], weight_decay=weight_decay)
        return scheduled(optimizer, LambdaLR(optimizer, lambda step: cosine_factor(step, steps)))

    def generator(self, *more: int) -> torch.Generator:
        """Return a CPU generator of (seed, epoch, batch), in the same state on all ranks; in validation of seed alone.

        Args:
            more: further numbers of the key, for example the rank.
        """
        position = self._batch_position if self.training else ()
        return keyed_generator(self.hparams["seed"], *position, *more)

    def plan(self) -> dict[str, str]:
        """Return the rows of the plan that is printed before training, name → text."""
        trainer = self.trainer
        steps = self.total_steps()
        accumulated = trainer.accumulate_grad_batches
        clips = samples_of_step(self.global_batch() // accumulated, accumulated, trainer.num_training_batches)
        devices = f"{self.samples_per_device()} per device × {trainer.world_size} device(s)"
        backbone = self.hparams.get("backbone") or type(self.backbone).__name__
        rates = [f"{group['lr']:.6g}" for group in trainer.optimizers[0].param_groups]
        place = f"step {trainer.global_step}" if trainer.global_step else "the start"
        plan = {"method": type(self).__name__}
        plan["backbone"] = f"{backbone}, {millions(self.backbone)} of {millions(self)} M parameters"
        plan["global batch"] = f"{clips} {self.samples} = {devices} × {accumulated} accumulated"
        plan["learning rate"] = f"{', '.join(rates)} at {place}"
        base_lr = self.hparams.get("base_lr")  # `lr_find` suggests a rate, which must not be taken for this
        if base_lr:
            plan["learning rate"] += f", base_lr {base_lr:.6g} × {self.global_batch()} / 256"
        plan["length"] = f"{steps} steps"
        if steps != trainer.max_steps:
            plan["length"] += f" in {trainer.max_epochs} epochs"
        plan["BatchNorm"] = batch_norm_text(self, self.backbone, trainer.world_size)
        plan["precision"] = str(trainer.precision)
        if self.hparams.get("compile"):
            plan["precision"] += ", backbone compiled"
        return plan

    def compiled_networks(self) -> list[nn.Module]:
        """Return the networks that the hyper-parameter `compile` compiles."""
        return [self.backbone]

    def configure_model(self) -> None:
        """Convert BatchNorm to SyncBatchNorm if the method asks for it and several GPUs train."""
        trainer = self.trainer
        several = trainer.world_size > 1 and trainer.strategy.root_device.type == "cuda"
        if self.synchronises_batch_norm and trainer.state.fn == "fit" and several:
            nn.SyncBatchNorm.convert_sync_batchnorm(self)

    def on_fit_start(self) -> None:
        """Compile the networks if `compile` is set; on a CPU keep memory between steps."""
        if self.hparams.get("compile"):
            # compiled in place, so names in checkpoints stay; extractors are copies and are not compiled
            for network in self.compiled_networks():
                network.compile(**self.compile_options)
        if self.device.type == "cpu":
            keep_freed_memory()

    def on_validation_start(self) -> None:
        """Check the first batch of the pass: validation has a loader of its own."""
        self._has_checked_batch = False

    def on_train_start(self) -> None:
        """Print the plan.

        Raises:
            ValueError: if `BatchSizeFinder` has changed the batch since the learning rate was set.
        """
        self._refuse_a_batch_that_was_found()
        self._has_checked_batch = False  # the sanity check has seen a batch of another loader
        network: Any = path_to_network(self)[-1]
        learns = any(parameter.requires_grad for parameter in network.parameters())
        if learns and self.described is not None:
            trained = {"weights": f"trained by {type(self).__name__}", "seed": None, "loaded": True}
            self.described = self.described.model_copy(update=trained)
        continued = continue_schedule(self.lr_schedulers()) if self.trainer.ckpt_path else {}
        plan = continued | self.plan()
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Planned):
                name, text = callback.plan_row()
                if name in plan:
                    text = f"{plan[name]}; {text}"
                plan[name] = text
        width = max(map(len, plan))
        rank_zero_info("\n".join(f"  {name:<{width}}  {text}" for name, text in plan.items()))
