"""Liir: reconstruct a frame from similar cells of another frame, with cells of other videos as negatives."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Adam

from vidcorr import loops
from vidcorr.backbones import LiirEncoder, NetworkName, load
from vidcorr.backbones.liir_encoder import Position
from vidcorr.functional.colour import drop_channel, normalised_lab
from vidcorr.functional.compactness import CompactnessPrior
from vidcorr.functional.device import world_size_and_rank
from vidcorr.functional.local_reconstruction import positive_mass, reconstruct_locally, reconstruction_loss
from vidcorr.functional.position import displaced_position, drawn_orders
from vidcorr.functional.window_tiles import Border
from vidcorr.videos.files import require_fractions, require_one_of

from .base import Batch, CorrespondenceModule
from .parts.distributed import all_rows, own_rows
from .parts.momentum import MomentumMethod, without_statistics
from .parts.negative_bank import BankSettings, EncodedBy, NegativeBank
from .parts.phases import LiirSchedule
from .parts.schedules import scheduled

S = TypeVar("S")
BANK_DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Type of the features under the Trainer's precision; otherwise float32."""


class Liir(MomentumMethod, CorrespondenceModule):
    """Locality-aware inter- and intra-video reconstruction.

    The last frame of a clip is the query, the earlier frames are its references. The encoder sees Lab without a or b;
    the missing channel of the query is reconstructed from windows of the references, weighted by the affinity of
    features. The first phase trains on this reconstruction alone. In the second phase, points of other videos, encoded
    by the momentum encoder with displaced positions, join the softmax as negatives, and a prior draws the affinity
    towards a few compact peaks. With `position="none"`, `bank=BankSettings(frames=0)` and `prior=None` this is MAST's
    objective.

    Paper: Liir (Li et al., CVPR 2022); MAST is of Lai et al., CVPR 2020.

    Args:
        position: map that is added to the features of the first layer. "1dape": a free parameter per cell and channel;
            "2dape": learned embeddings of row and column; "2dspe": the same with fixed sines; "none": zero.
        position_size: height and width of a learned map in cells; half the frames' size.
        affinity_dim: channels of the compared features: 64 in the public code and its weights, 256 in the paper
            (section 3.3).
        bank: number, kind and encoder of the negatives; a `BankSettings`, or a dict of its fields, as in checkpoints.
        prior: the compactness prior of the second phase, which replaces each window's affinities by a few Gaussian
            peaks (Eq. 7); None leaves it out.
        compactness_weight: weight of the compactness loss.
        schedule: length, learning rate and batches per optimiser step of the two phases.
        reference_encoder: encoder of the references in the second phase. "learned": the encoder that learns; the paper
            updates the position map by query and references alike (section 3.2). "average": its moving average, without
            gradient. The public code averages only references of its stride-8 branch, which is not evaluated.
        reference_gradient: False cuts the gradient through learned references in the second phase: a control.
        encoder_momentum: m of the moving average.
        radius: radius of the window, in cells of 4 px.
        border: "exclude" leaves cells outside the map out; "zero" gives them dot product 0, as in the public code.
        shared_statistics: BatchNorm of all frames of the clips together. False: of one frame of each clip at a time,
            references before the query, as in the public code; the running statistics then move T times a step.
        seed: seed of the dropped channels, displacements and sampled cells; None: the run's.
        stages: residual stages of the encoder, 3 or 4.
        start: checkpoint of Liir with the encoder's first weights, for example of a first phase that several second
            phases share (with `schedule.warmup_epochs` 0). The average starts as a copy of them.

    Raises:
        ValueError: for an unknown choice, a number out of range, or an encoder in `start` with other arguments.
    """

    synchronises_batch_norm = True
    further_keys = ("video_index",)

    def __init__(
        self,
        position: Position = "1dape",
        position_size: int = 128,
        affinity_dim: int = 64,
        bank: BankSettings = BankSettings(),
        prior: CompactnessPrior | None = CompactnessPrior(),
        compactness_weight: float = 1.0,
        schedule: LiirSchedule = LiirSchedule(),
        reference_encoder: EncodedBy = "learned",
        reference_gradient: bool = True,
        encoder_momentum: float = 0.999,
        radius: int = 6,
        border: Border = "exclude",
        shared_statistics: bool = False,
        seed: int | None = None,
        stages: Literal[3, 4] = 4,
        start: NetworkName | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_one_of(get_args(Position), position=position)
        require_one_of(get_args(EncodedBy), reference_encoder=reference_encoder)
        require_one_of((3, 4), stages=stages)
        require_fractions(encoder_momentum=encoder_momentum)
        # a checkpoint gives settings as dicts, of which `_settings` makes objects
        self.bank_settings = _settings(BankSettings, bank)
        self.schedule = _settings(LiirSchedule, schedule)
        self.prior = None if prior is None else _settings(CompactnessPrior, prior)
        self.position = position
        self.compactness_weight = compactness_weight
        self.reference_encoder = reference_encoder
        self.reference_gradient = reference_gradient
        self.encoder_momentum = encoder_momentum
        self.radius = radius
        self.border: Border = border
        self.shared_statistics = shared_statistics
        self.backbone: LiirEncoder = LiirEncoder(position, position_size, affinity_dim, stages)
        self.described = self.backbone.described
        if start is not None:
            loaded = load(start).network
            own = self.backbone.made_with
            theirs = loaded.made_with if isinstance(loaded, LiirEncoder) else type(loaded).__name__
            if theirs != own:
                raise ValueError(f"model.start {start}: its encoder is {theirs}, this run's is {own}")
            self.backbone.load_state_dict(loaded.state_dict())
        self.bank: Any = None
        if self.bank_settings.frames:
            # features have stride 4, positions stride 2
            side = math.ceil(position_size / 2)
            # half the radius as in the public code: 7 × 7 cells for a radius of 6
            self.bank = NegativeBank(self.bank_settings, affinity_dim, side, radius // 2, border)
        encodes_negatives = self.bank is not None and self.bank_settings.encoder == "average"
        needs_average = encodes_negatives or reference_encoder == "average"
        self.target_encoder = deepcopy(self.backbone).requires_grad_(False) if needs_average else None

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute `objective` with a or b dropped at random, equal on all ranks; in validation the mean of both.

        Raises:
            ValueError: for clips of a single frame; in training for a size of frames that the bank does not hold, or
                for a first phase without a Trainer, which counts its epochs.
        """
        if batch["clip"].shape[1] < 2:
            raise ValueError("clips of 1 frame: Liir needs a query and at least one reference; set data.frames")
        if self.training:
            self._require_bank_size(batch["clip"].shape[-2:])
            generator = self.generator()
            dropped = 1 + int(torch.randint(2, (), generator=generator))
            return self.objective(batch, dropped, generator)
        without_a = self.objective(batch, 1)
        without_b = self.objective(batch, 2)
        return {name: torch.stack([without_a[name], without_b[name]]).mean(0) for name in without_a}

    def _require_bank_size(self, size: Sequence[int]) -> None:
        # in the first phase too, which fills no bank: else a run would fail after days
        if self.bank is None or self.bank.kind == "shared":
            return
        # a key is a map of side × side cells, of stride 4; `position_size` counts cells of stride 2: twice as many
        side = self.bank.keys.shape[1]
        if any(math.ceil(length / 4) != side for length in size):
            remedy = f"set data.size to {4 * side}, or model.position_size to half the frames' side"
            raise ValueError(f"frames of {size[0]} × {size[1]} px do not fit a bank of {side} × {side} cells: {remedy}")

    def objective(self, batch: Batch, dropped: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute L_rec + λ L_compact (Eqs. 3, 5 and 8) with a channel dropped.

        Args:
            batch: `clip` and `video_index`.
            dropped: index of the Lab channel that is dropped: 1 is a, 2 is b.
            generator: on the CPU, of the draws of training; None in validation: the seed alone then counts.

        Returns:
            `loss`; its parts `reconstruction` and `compactness`; `embeddings` `(B·T, C)`, a mean per frame. In the
            second phase, with a bank, also `negative_mass`, the negatives' fraction of the softmax; and, if training,
            `queue_age`, the age of the bank's oldest key in steps.
        """
        lab = normalised_lab(batch["clip"])
        seen = drop_channel(lab, dropped)
        colours = lab[:, :, dropped, None]
        # at the features' stride of 4
        cell_colours = colours[:, :-1, :, ::4, ::4]
        prior = None if self.warming_up else self.prior
        q, r = self.features(seen)
        local = reconstruct_locally(q, r, cell_colours, self.radius, self.border, prior)
        frame_maps = torch.cat([r.detach(), q.detach().unsqueeze(1)], dim=1).float()
        outputs = {"compactness": local.compactness, "embeddings": frame_maps.mean((3, 4)).flatten(0, 1)}
        reconstructed = local.values
        if self.bank is not None and not self.warming_up:
            # in validation `self.generator()` gives the same draws for every batch
            negatives = self.bank.logsumexp(q, batch["video_index"], generator or self.generator())
            positive = positive_mass(local.logsumexp, negatives)
            # negatives join the softmax with colour 0
            reconstructed = reconstructed * positive.unsqueeze(1)
            outputs["negative_mass"] = 1 - positive.mean()
            if generator is not None:
                keys = self.encode_keys(seen[:, -1].to(q.dtype), generator)
                self.bank.hold(all_rows(keys), all_rows(batch["video_index"]))
                outputs["queue_age"] = self.bank.age
        outputs["reconstruction"] = reconstruction_loss(reconstructed, colours[:, -1])
        detached = {name: tensor.detach() for name, tensor in outputs.items()}
        return {"loss": outputs["reconstruction"] + self.compactness_weight * local.compactness, **detached}

    def features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Encode clips, normalised Lab `(B, T, 3, H, W)` with a channel dropped.

        Returns:
            Features of the query, the last frame, `(B, C, h, w)`, and of the references `(B, T − 1, C, h, w)`.
        """
        # the first phase always learns from query and references, whatever the settings of the second phase
        if self.reference_encoder == "learned" or self.warming_up:
            features = self._encoded(self.backbone, seen)
            references = features[:, :-1]
            takes_gradient = self.warming_up or self.reference_gradient
            return features[:, -1], references if takes_gradient else references.detach()
        query = self.backbone(seen[:, -1])
        # the query's type: half precision under autocast, to which the first convolution would round the frames anyway
        with torch.no_grad():
            references = self._encoded(self.target_encoder, seen[:, :-1].to(query.dtype))
        return query, references.to(query.dtype)

    def _encoded(self, encoder: Any, frames: Tensor) -> Tensor:
        # a pass per frame costs no more than one pass with BatchNorm by groups
        if encoder.training and not self.shared_statistics:
            return torch.stack([encoder(frame) for frame in frames.unbind(1)], dim=1)
        return encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    @torch.no_grad()
    def encode_keys(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Encode frames, normalised Lab `(B, 3, H, W)`, as keys for the bank (`NegativeBank.keys_of`).

        Each has a position map displaced in its own way: else a cell could differ from its negatives by position alone.
        BatchNorm's statistics stay as they are.
        """
        # every rank draws for all ranks, and takes its own rows
        ranks, _ = world_size_and_rank()
        all_frames = ranks * len(frames)
        displace = None
        if self.position != "none":
            # of the first layer, of stride 2
            grid = (math.ceil(frames.shape[2] / 2), math.ceil(frames.shape[3] / 2))
            orders = drawn_orders(self.bank_settings.modulation, all_frames, grid, generator)
            if orders is not None:
                displace = partial(displaced_position, orders=own_rows(orders, len(frames)))
        encoders: dict[str, Any] = {"learned": self.backbone, "average": self.target_encoder}
        features = without_statistics(encoders[self.bank_settings.encoder], frames, displace)
        return self.bank.keys_of(features, generator)

    def on_fit_start(self) -> None:
        """Store the bank in half precision if the Trainer's precision is mixed, else in float32."""
        super().on_fit_start()
        if self.bank is not None:
            self.bank.keys = self.bank.keys.to(BANK_DTYPES.get(self.trainer.precision, torch.float32))

    # Two phases: they differ in rate and accumulated batches, and the first has no prior and no negatives

    @property
    def warming_up(self) -> bool:
        """True in the first phase; without a Trainer, which counts epochs, there must be none."""
        epochs = self.schedule.warmup_epochs
        if epochs and self.training and self.counting_trainer is None:
            raise ValueError(f"schedule.warmup_epochs {epochs}: without a Trainer nothing counts epochs; set it to 0")
        return self.current_epoch < epochs

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; the learning rate depends on the phase and the samples seen (section 3.3)."""
        if self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches: set model.schedule.warmup_accumulation in its place")
        optimizer = Adam(self.backbone.parameters(), self.schedule.warmup_lr)
        batch_samples = self.global_batch()
        # a step a batch: here the Trainer accumulates nothing
        epoch_batches = self.steps_per_epoch()
        # `factor` is on the optimiser's rate, `warmup_lr`, in both phases
        return scheduled(optimizer, lambda step: self.schedule.factor(step, batch_samples, epoch_batches))

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Set the number of accumulated batches: `warmup_accumulation` in the first phase, then 1."""
        # Lightning's GradientAccumulationScheduler does not act where a run resumes within an epoch
        loops.accumulate(self.trainer, self.schedule.warmup_accumulation if self.warming_up else 1)

    def on_fit_end(self) -> None:
        """Restore the trainer's accumulation, which `configure_optimizers` requires to be 1."""
        loops.restore_accumulation(self.trainer)

    def arguments_again(self) -> dict[str, Any]:
        """Return the arguments with whole settings, and without `start`, whose weights a checkpoint has itself."""
        settings = {"bank": self.bank_settings, "schedule": self.schedule, "prior": self.prior}
        return super().arguments_again() | settings | {"start": None}

    def plan_rows(self) -> dict[str, str]:
        """Return the rows of the plan, with the values of both phases."""
        settings = self.schedule
        epochs = settings.warmup_epochs
        # "all": with the negatives of other videos and the prior
        plan = super().plan_rows() | {"phases": f"{epochs} epochs within videos, then all"}
        begin = ""
        if epochs:
            begin = f", from epoch {epochs} on"
            samples = self.global_batch()
            plan["global batch"] = f"{samples * settings.warmup_accumulation} clips, then {samples} clips"
            plan["learning rate"] = f"{settings.warmup_lr:.6g}, then {settings.lr:.6g}"
        plan["negatives"] = "none" if self.bank is None else f"{self.bank}{begin}"
        plan["compactness"] = "none" if self.prior is None else f"{self.prior}{begin}"
        return plan


def _settings(kind: type[S], settings: S | Mapping[str, object]) -> S:
    return kind(**settings) if isinstance(settings, Mapping) else settings
