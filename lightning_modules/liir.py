"""Liir: reconstruction of a frame from the places of another that look alike, against places of other videos."""

from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from .backbones import LiirEncoder, LiirExtractor, share
from .backbones.build import UNDILATED, Stage
from .backbones.extractor import Dilated
from .backbones.liir_encoder import Modulation, Position
from .base import Batch, CorrespondenceModule
from .functional.colour import drop_channel, normalised_lab
from .functional.compactness import CompactnessPrior
from .functional.position import shifted_position, shuffled_position
from .functional.reconstruction.affinity import positive_mass, reconstruction_loss
from .functional.reconstruction.local_reconstruction import reconstruct_locally
from .functional.reconstruction.window_tiles import Border
from .momentum import KeyQueue, averaged_copy, gather, ranks_and_rank, update_average
from .schedules import step_factor

WARMUP_STEPS = {0.4: 1 / 2, 0.6: 1 / 4, 0.8: 1 / 8, 1.0: 1 / 16}
"""Of `warmup_decay_samples`, and the factor of the learning rate beyond."""
STEPS = {55 / 300: 0.9, 85 / 300: 0.75, 135 / 300: 1 / 2, 175 / 300: 1 / 4, 250 / 300: 1 / 8, 1.0: 1 / 16}
"""Of `decay_samples`, likewise."""


class Liir(CorrespondenceModule):
    """Locality-aware inter- and intra-video reconstruction.

    The last frame of a clip is the query, those before it are its references. The encoder sees Lab without a or b; the
    missing channel of the query is put together from the references' places in a window around each place, weighted by
    the affinity of features. In the first epochs that is all. Then points of other videos, encoded by a moving average
    with their positions shifted, take their share of the softmax, and the affinity is drawn towards a few compact
    peaks. With `position="none"`, `bank_frames=0` and `mixture_components=None` it is MAST's objective.

    Paper: Li et al., Locality-Aware Inter- and Intra-Video Reconstruction for Self-Supervised Correspondence Learning
    (Liir), CVPR 2022.

    Args:
        position: map that is added to the features of the first layer, see `PositionMap`.
        position_size: cells along each side of a learned map; half the frames' size.
        modulation: of the map, for frames of the bank: "shift" around by a random step, "shuffle" its places, "none".
        bank_frames: frames of other videos; 0 leaves inter-video reconstruction out.
        points_per_frame: places of each frame, at random.
        encoder_momentum: of the moving average.
        mixture_components: K of the compactness prior in training; None leaves it out.
        mixture_threshold: windows whose largest affinity is not above it are left alone.
        mixture_width: see `compact_affinity`.
        compactness_weight: of the loss.
        radius: of the window, in cells of 4 px.
        border: "exclude" leaves cells outside the map out; "zero": see `local_affinity`.
        warmup_epochs: of reconstruction from the video itself alone.
        warmup_accumulation: batches per optimiser step in them; then 1.
        warmup_lr: learning rate in them; not scaled with the batch.
        lr: learning rate in later epochs.
        warmup_decay_samples: after which the first rate has come down to 1/16.
        decay_samples: after which the second has.
        seed: of what is dropped, shifted and sampled.
        compile: the encoder, by torch.compile, when training begins.
        stages: of the encoder, 3 or 4.

    Raises:
        ValueError: for a choice that does not exist or a number out of range.
    """

    # Every rank writes the same into its bank, so DDP need not broadcast it before each step.
    _ddp_params_and_buffers_to_ignore = ("bank.keys", "bank.video_ids", "bank.pointer")

    def __init__(
        self,
        position: Position = "1dape",
        position_size: int = 128,
        modulation: Literal["shift", "shuffle", "none"] = "shift",
        bank_frames: int = 1440,
        points_per_frame: int = 4,
        encoder_momentum: float = 0.999,
        mixture_components: int | None = 2,
        mixture_threshold: float = 0.5,
        mixture_width: Literal["fixed", "moments"] = "fixed",
        compactness_weight: float = 1.0,
        radius: int = 6,
        border: Border = "exclude",
        warmup_epochs: int = 30,
        warmup_accumulation: int = 2,
        warmup_lr: float = 1e-3,
        lr: float = 1e-4,
        warmup_decay_samples: int = 1_000_000,
        decay_samples: int = 300_000,
        seed: int = 0,
        compile: bool = False,
        stages: int = 4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if modulation not in ("shift", "shuffle", "none"):
            raise ValueError(f"modulation must be shift, shuffle or none, got {modulation!r}")
        if min(bank_frames, warmup_epochs) < 0 or min(points_per_frame, warmup_accumulation) < 1:
            raise ValueError(
                "bank_frames and warmup_epochs must be 0 or more, points_per_frame and warmup_accumulation 1 or more, "
                f"got {bank_frames}, {warmup_epochs}, {points_per_frame}, {warmup_accumulation}"
            )
        self.backbone = LiirEncoder(position, position_size, stages=stages)
        width = self.backbone.affinity.out_channels
        self.bank = KeyQueue(bank_frames * points_per_frame, width, seed) if bank_frames else None
        self.target_encoder = averaged_copy(self.backbone) if bank_frames else None
        self.prior: CompactnessPrior | None = None
        if mixture_components is not None:
            self.prior = CompactnessPrior(mixture_components, mixture_threshold, mixture_width)
        self._place = (0, 0)  # epoch and batch: what draws are a function of
        self._new_points: list[tuple[Tensor, Tensor]] = []
        self._samples = 0  # since the last optimiser step, over all ranks

    @property
    def warming_up(self) -> bool:
        """Whether this epoch is one of reconstruction from the video itself alone."""
        return self.current_epoch < self.hparams["warmup_epochs"]

    def forward(self, lab: Tensor) -> Tensor:
        """Features that are compared: normalised Lab `(N, 3, H, W)` → `(N, 64, H/4, W/4)`."""
        return self.backbone(lab)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """See `CorrespondenceModule`; publishes also both losses, the negatives' share, and points for the bank."""
        generator, clip = self._generator(), batch["clip"]
        lab = normalised_lab(clip)
        dropped = 1 + int(torch.randint(2, (), generator=generator))  # a or b, the same on all ranks
        seen, colours = drop_channel(lab, dropped), lab[:, :, dropped, None]
        features = self(seen.flatten(0, 1)).unflatten(0, clip.shape[:2])
        query, references = features[:, -1], features[:, :-1]

        prior = None if self.warming_up else self.prior
        radius, border = self.hparams["radius"], self.hparams["border"]
        local = reconstruct_locally(query, references, colours[:, :-1, :, ::4, ::4], radius, border, prior)
        published = {
            "compactness": local.compactness,
            "embeddings": features.float().mean((3, 4)).flatten(0, 1),
        }
        reconstructed = local.values
        if self.bank is not None and not self.warming_up:
            unusable = self.bank.own(batch["video_index"]) | (self.bank.video_ids < 0)
            positive = positive_mass(query, local.logsumexp, self.bank.keys, unusable)
            reconstructed = reconstructed * positive.unsqueeze(1)
            published["negative_mass"] = 1 - positive.mean()
            published["points"] = self._points(seen[:, -1], generator)
        published["reconstruction"] = reconstruction_loss(reconstructed, colours[:, -1])
        loss = published["reconstruction"] + self.hparams["compactness_weight"] * local.compactness
        return {"loss": loss} | {name: tensor.detach() for name, tensor in published.items()}

    @torch.no_grad()
    def _points(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Features of random places by the moving average: normalised Lab `(B, 3, H, W)` → `(B, points, 64)`."""
        if self.target_encoder is None:
            raise ValueError("a model without a bank has no moving average")
        ranks, rank = ranks_and_rank()
        mine, count = slice(rank * len(frames), (rank + 1) * len(frames)), ranks * len(frames)
        features = self.target_encoder(frames, self._modulation(mine, count, generator)).flatten(2).float()
        places = torch.randint(features.shape[2], (count, self.hparams["points_per_frame"]), generator=generator)[mine]
        return features.gather(2, places.to(features.device)[:, None].expand(-1, features.shape[1], -1)).mT.contiguous()

    def _modulation(self, mine: slice, count: int, generator: torch.Generator) -> Modulation | None:
        """What keeps the places of this rank's frames, some of `count`, out of the comparison with other videos."""
        if self.hparams["modulation"] == "none":
            return None

        def modulate(position: Tensor) -> Tensor:
            height, width = position.shape[1:]
            if self.hparams["modulation"] == "shift":
                steps = [torch.randint(size, (count,), generator=generator) for size in (height, width)]
                return shifted_position(position, torch.stack(steps, dim=1)[mine])
            return shuffled_position(position, torch.rand(count, height * width, generator=generator).argsort(1)[mine])

        return modulate

    def _generator(self) -> torch.Generator:
        """Draws are a function of (seed, epoch, batch) alone; in validation always the same."""
        key = (self.hparams["seed"], *(self._place if self.training else ()))
        return torch.Generator().manual_seed(hash(key) % 2**63)

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """See `CorrespondenceModule`; the new points wait for the optimiser step."""
        self._place = (self.current_epoch, batch_index)
        self._samples += len(batch["clip"]) * ranks_and_rank()[0]
        published = super().training_step(batch, batch_index)
        if (points := published.pop("points", None)) is not None:
            ids = gather(batch["video_index"]).repeat_interleave(points.shape[1])
            self._new_points.append((gather(points).flatten(0, 1), ids))
        shown = {
            name: published[name] for name in ("reconstruction", "compactness", "negative_mass") if name in published
        }
        self.log_dict({f"train/{name}": value for name, value in shown.items()}, batch_size=len(batch["clip"]))
        return published

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One optimiser step, then the moving average and the bank follow, once for all accumulated batches."""
        super().optimizer_step(*args, **kwargs)
        if self.target_encoder is not None:
            update_average(self.target_encoder, self.backbone, self.hparams["encoder_momentum"])
        if self.bank is not None and self._new_points:
            points, ids = (torch.cat(parts)[-len(self.bank) :] for parts in zip(*self._new_points, strict=True))
            self.bank.enqueue(points, ids)
        self._new_points.clear()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, its rate a function of the samples seen (Liir, section 3.3, steps as in the public code)."""
        self.trainer.fit_loop.setup_data()
        settings, batches = self.hparams, self.trainer.num_training_batches
        first_stage = settings["warmup_epochs"] * batches * self.global_batch()

        def factor(samples: int) -> float:
            if samples < first_stage:
                return step_factor(samples / settings["warmup_decay_samples"], WARMUP_STEPS)
            later = step_factor((samples - first_stage) / settings["decay_samples"], STEPS)
            return later * settings["lr"] / settings["warmup_lr"]

        optimizer = Adam(self.backbone.parameters(), settings["warmup_lr"], betas=(0.9, 0.999))
        schedule = LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """The schedule counts samples, whatever number of them an optimiser step took."""
        scheduler.last_epoch += self._samples - 1
        scheduler.step()
        self._samples = 0

    def on_fit_start(self) -> None:
        """See `CorrespondenceModule`; forget what a run that was broken off left behind."""
        super().on_fit_start()
        if self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches: leave it out, Liir has model.warmup_accumulation")
        self._new_points.clear()
        self._samples = 0

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Batches per optimiser step, by stage.

        Lightning's GradientAccumulationScheduler does this at the start of an epoch only, so not where a run that was
        stopped within one goes on.
        """
        super().on_train_batch_start(batch, batch_index)
        self.trainer.accumulate_grad_batches = self.hparams["warmup_accumulation"] if self.warming_up else 1

    def on_fit_end(self) -> None:
        """Leave the trainer as it was."""
        self.trainer.accumulate_grad_batches = 1

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, dilated: Dilated = False) -> nn.Module:
        """A view of the encoder for benchmarks; see `CorrespondenceModule` and `LiirExtractor`."""
        if dilated:
            raise ValueError(f"Liir: SiamFC's dilations are for ResNets of stride 8 and more; {UNDILATED}")
        encoder = share(self.backbone)
        assert isinstance(encoder, LiirEncoder)
        return LiirExtractor(encoder, stage or "affinity", stride).to(self.device)

    def plan(self) -> dict[str, str]:
        """See `CorrespondenceModule`."""
        plan, settings, trainer = super().plan(), self.hparams, self.trainer
        pairs, first = self.global_batch(), settings["warmup_epochs"]
        later = f", from epoch {first} on" if first else ""
        millions = sum(parameter.numel() for parameter in self.backbone.parameters()) / 1e6
        plan["backbone"] = f"ResNet-18 of stride 4, position {settings['position']}, {millions:.1f} M parameters"
        plan["global batch"] = (
            f"{pairs * settings['warmup_accumulation']} clips, then " * bool(first) + f"{pairs} clips"
        )
        plan["learning rate"] = f"{settings['warmup_lr']:.6g}, then " * bool(first) + f"{settings['lr']:.6g}"
        plan["stages"] = f"{first} epochs within videos, then all; {trainer.num_training_batches} batches an epoch"
        plan["steps"] = f"in {trainer.max_epochs} epochs" if trainer.max_epochs != -1 else str(trainer.max_steps)
        plan["negatives"] = "none"
        if self.bank is not None:
            plan["negatives"] = f"{len(self.bank)} points of {settings['bank_frames']} frames{later}"
        plan["compactness"] = f"{self.prior}{later}" if self.prior else "none"
        return plan
