"""Liir: reconstruct a frame from similar cells of another frame, with cells of other videos as negatives."""

from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam

from .backbones import LiirEncoder, LiirExtractor, shared_copy
from .backbones.build import Stage
from .backbones.liir_encoder import Position
from .base import Batch, millions
from .distributed import gather, own_rows, world_size_and_rank
from .functional.colour import drop_channel, normalised_lab
from .functional.compactness import compactness_prior
from .functional.device import to_device
from .functional.local_reconstruction import Border, reconstruct_locally
from .functional.position import displacement
from .functional.reconstruction import positive_mass, reconstruction_loss
from .momentum import KeyQueue, MomentumEncoder, MomentumMethod, average_row
from .schedules import SampleLR, liir_factor, scheduled


class Liir(MomentumMethod):
    """Locality-aware inter- and intra-video reconstruction.

    The last frame of a clip is the query, those before it are its references. The encoder sees Lab without a or b; the
    missing channel of the query is reconstructed from the references within a window around each cell, weighted by the
    affinity of features. The first epochs train on that alone. Then points of other videos, encoded by the momentum
    encoder with displaced positions, join the softmax as negatives, and the affinity is drawn towards a few compact
    peaks. With `position="none"`, `bank_frames=0` and `mixture_components=None` this is MAST's objective.

    Paper: Liir (Li et al., CVPR 2022); MAST is of Lai et al., CVPR 2020. The paper compares features of 256 channels
    (section 3.3); here, as in the public code and its weights, a convolution reduces them to 64.

    Args:
        position: kind of the map that is added to the features of the first layer, see `PositionMap`.
        position_size: cells along each side of a learned map; half the frames' size.
        modulation: displacement of the map for the bank: "shift" by a random step, "shuffle" its cells, or "none".
        bank_frames: number of frames of other videos; 0 leaves inter-video reconstruction out.
        points_per_frame: number of random cells of each of these frames.
        key_encoder: what encodes the points of the bank, and from when they join also the references that they compete
            with. Products are not normalised, so a key that is encoded otherwise than the references hardly counts
            where its features are smaller. "average": both by the moving average of the encoder, as in MoCo, which the
            paper cites (section 3.3); "last_convolution": both by the moving average of the last convolution over the
            features of the encoder that learns, as in the public code (shasha521/LIIR_pytorch); "average_for_bank": the
            points by the average, the references by the encoder that learns. The paper does not say which. Neither the
            points nor references by an average take a gradient.
        encoder_momentum: m of the moving average.
        mixture_components: K of the compactness prior in training; None leaves it out.
        mixture_threshold: only windows whose largest affinity is above it are compared with the prior.
        mixture_width: see `compact_affinity`.
        mixture_weights: see `compact_affinity`.
        compactness_weight: weight of the compactness loss.
        radius: radius of the window, in cells of 4 px.
        border: "exclude" leaves cells outside the map out; "zero": see `local_affinity`.
        warmup_epochs: epochs of reconstruction within videos alone.
        warmup_accumulation: batches per optimiser step in them; afterwards 1.
        warmup_lr: learning rate in them; not scaled with the batch.
        lr: learning rate of later epochs.
        warmup_decay_samples: samples over which `warmup_lr` decays to 1/16.
        decay_samples: samples over which `lr` decays to 1/16.
        seed: seed of the dropped channels, displacements and sampled cells.
        compile: compile the encoder with torch.compile when training starts.
        stages: residual stages of the encoder, 3 or 4.

    Raises:
        ValueError: for an unknown choice or a number out of range.
    """

    logged = ("reconstruction", "compactness", "negative_mass")
    keys_divide_queue = False
    synchronises_batch_norm = True

    def __init__(
        self,
        position: Position = "1dape",
        position_size: int = 128,
        modulation: Literal["shift", "shuffle", "none"] = "shift",
        bank_frames: int = 1440,
        points_per_frame: int = 4,
        key_encoder: Literal["average", "last_convolution", "average_for_bank"] = "average",
        encoder_momentum: float = 0.999,
        mixture_components: int | None = 2,
        mixture_threshold: float = 0.5,
        mixture_width: Literal["fixed", "moments"] = "fixed",
        mixture_weights: Literal["softmax", "mass"] = "softmax",
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
        self.check_choices()
        lowest = {"bank_frames": 0, "warmup_epochs": 0, "points_per_frame": 1, "warmup_accumulation": 1, "radius": 0}
        for name, least in lowest.items():
            if self.hparams[name] < least:
                raise ValueError(f"{name} must be {least} or more, got {self.hparams[name]}")
        if (mixture_components or 0) > (2 * radius + 1) ** 2:
            raise ValueError(f"mixture_components {mixture_components} do not fit a window of radius {radius}")
        self.backbone: LiirEncoder = LiirEncoder(position, position_size, stages=stages)
        width = self.backbone.affinity.out_channels
        self.bank = KeyQueue(bank_frames * points_per_frame, width, seed) if bank_frames else None
        self.target_encoder = MomentumEncoder(self.encoder) if bank_frames else None
        self.prior = compactness_prior(mixture_components, mixture_threshold, mixture_width, mixture_weights)

    @property
    def encoder(self) -> nn.Module:
        """The part of the backbone that the momentum encoder averages."""
        return self.backbone.affinity if self.hparams["key_encoder"] == "last_convolution" else self.backbone

    @property
    def warming_up(self) -> bool:
        """True in the epochs of reconstruction within videos alone."""
        return self.current_epoch < self.hparams["warmup_epochs"]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the objective with a or b dropped at random, alike on all ranks; in validation the mean of both."""
        if self.training:
            generator = self.generator()
            return self.objective(batch, 1 + int(torch.randint(2, (), generator=generator)), generator)
        both = [self.objective(batch, dropped) for dropped in (1, 2)]
        return {name: torch.stack([each[name] for each in both]).mean(0) for name in both[0]}

    def objective(self, batch: Batch, dropped: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute L_rec + λ L_compact (Eqs. 3, 5 and 8) with one channel dropped.

        Also returned: both parts, `embeddings`, the fraction of the softmax that negatives take, and with a generator
        new points for the bank.
        """
        lab = normalised_lab(batch["clip"])
        seen, colours = drop_channel(lab, dropped), lab[:, :, dropped, None]
        q, r = self.features(seen)
        prior, settings = None if self.warming_up else self.prior, self.hparams
        local = reconstruct_locally(q, r, colours[:, :-1, :, ::4, ::4], settings["radius"], settings["border"], prior)
        means = torch.cat([r.float().mean((3, 4)), q.float().mean((2, 3)).unsqueeze(1)], dim=1)
        outputs = {"compactness": local.compactness, "embeddings": means.flatten(0, 1)}
        reconstructed = local.values
        if self.bank is not None and not self.warming_up:
            unusable = self.bank.of_same_video(batch["video_index"]) | (self.bank.video_ids < 0)
            positive = positive_mass(q, local.logsumexp, self.bank.keys, unusable)
            reconstructed = reconstructed * positive.unsqueeze(1)
            outputs["negative_mass"] = 1 - positive.mean()
            if generator is not None:
                outputs["keys"] = gather(self.keys(seen[:, -1].to(q.dtype), generator))
        outputs["reconstruction"] = reconstruction_loss(reconstructed, colours[:, -1])
        loss = outputs["reconstruction"] + settings["compactness_weight"] * local.compactness
        return {"loss": loss} | {name: tensor.detach() for name, tensor in outputs.items()}

    def features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised Lab `(B, T, 3, H, W)`: the query `(B, 64, h, w)`, the references `(B, T − 1, 64, h, w)`."""
        kind, average, shape = self.hparams["key_encoder"], self.target_encoder, seen.shape[:2]
        if average is None or self.warming_up or kind == "average_for_bank":
            features = self.backbone(seen.flatten(0, 1)).unflatten(0, shape)
            return features[:, -1], features[:, :-1]
        if kind == "last_convolution":
            features = self.backbone(seen.flatten(0, 1), project=False).unflatten(0, shape)
            query, references = self.backbone.affinity(features[:, -1]), features[:, :-1]
        else:
            query = self.backbone(seen[:, -1])
            references = seen[:, :-1].to(query.dtype)
        with torch.no_grad():
            return query, average(references.flatten(0, 1)).unflatten(0, references.shape[:2]).to(query.dtype)

    @torch.no_grad()
    def keys(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Return points for the bank: normalised Lab `(B, 3, H, W)` → `(B, points, 64)`, see `key_encoder`."""
        assert self.target_encoder is not None
        count, own = world_size_and_rank()[0] * len(frames), partial(own_rows, rows=len(frames))
        displace = displacement(self.hparams["modulation"], count, generator, own)
        if self.hparams["key_encoder"] == "last_convolution":
            features = self.target_encoder(self.backbone(frames, displace, project=False))
        else:
            features = self.target_encoder(frames, displace)
        features = features.flatten(2).float()
        cells = own(torch.randint(features.shape[2], (count, self.hparams["points_per_frame"]), generator=generator))
        return features.take_along_dim(to_device(cells, features.device)[:, None], 2).mT.contiguous()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, its rate a function of the samples seen (section 3.3), see `liir_factor`."""
        optimizer = Adam(self.backbone.parameters(), self.hparams["warmup_lr"], betas=(0.9, 0.999))
        samples = self.global_batch() * int(self.trainer.num_training_batches)
        return scheduled(optimizer, SampleLR(optimizer, liir_factor(self.hparams, samples)))

    def on_fit_start(self) -> None:
        """Refuse accumulation that the trainer sets itself.

        Raises:
            ValueError: one line that names the flag to take instead.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches: leave it out, Liir has model.warmup_accumulation")
        super().on_fit_start()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Accumulate batches by the phase.

        Lightning's GradientAccumulationScheduler sets the number at the start of an epoch only, so not in a run that is
        resumed within one.
        """
        super().on_train_batch_start(batch, batch_index)
        self.trainer.accumulate_grad_batches = self.hparams["warmup_accumulation"] if self.warming_up else 1

    def on_fit_end(self) -> None:
        """Restore the trainer's accumulation."""
        super().on_fit_end()
        self.trainer.accumulate_grad_batches = 1

    def plan(self) -> dict[str, str]:
        """Return the plan, with what differs between the phases: first within videos, then with all terms."""
        rows, settings, trainer, pairs = super().plan(), self.hparams, self.trainer, self.global_batch()
        epochs, batches = settings["warmup_epochs"], int(trainer.num_training_batches)
        later = f", from epoch {epochs} on" if epochs else ""
        if epochs and self.target_encoder is not None:
            steps = min(self.total_steps(), epochs * -(-batches // settings["warmup_accumulation"]))
            rows["momentum encoder"] = average_row(settings["encoder_momentum"], steps, joining=True)
        bank = f"{len(self.bank)} points of {settings['bank_frames']} frames{later}" if self.bank is not None else ""
        limits = ((trainer.max_epochs, "epochs"), (trainer.max_steps, "steps"))
        return rows | {
            "backbone": f"ResNet-18, stride 4, position {settings['position']}, {millions(self.backbone)} M parameters",
            "global batch": f"{pairs * settings['warmup_accumulation']} clips, then " * bool(epochs) + f"{pairs} clips",
            "learning rate": f"{settings['warmup_lr']:.6g}, then " * bool(epochs) + f"{settings['lr']:.6g}",
            "length": ", at most ".join(f"{limit} {unit}" for limit, unit in limits if limit != -1),
            "phases": f"{epochs} epochs within videos, then all; {batches} batches an epoch",
            "negatives": bank or "none",
            "compactness": f"{self.prior}{later}" if self.prior else "none",
        }

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the encoder for benchmarks, see `LiirExtractor`."""
        return LiirExtractor(shared_copy(self.backbone), stage or "affinity", stride, **options).to(self.device)
