"""Pictures of a training while it runs: its clips, and the matches of its features."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from vidcorr.backbones import load
from vidcorr.functional.device import random_state_kept
from vidcorr.functional.images import as_floats, prepared
from vidcorr.lightning_modules.parts.batches import join_loaders
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.pictures import Picture, clip_sheet, feature_sheet, heat_map_sheet, write_picture
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.videos.files import require_at_least

from .run_folder import log_picture, run_folder


class TrainingPictures(Callback):
    """Draw the first batch of a run, and every few epochs the matches and components of a clip's features.

    - `clips`: the first batch after augmentation, a clip per row;
    - `matches`: the middle of the last frame of a clip, and heat maps of its weights in the protocol's earlier frames;
    - `features`: the principal components of the clip's features as colours.

    The clip is the first of the first batch, for the whole run. Pictures go to all loggers that take pictures, and as
    PNGs to `pictures/` in the folder of the run. Only the first rank draws. Drawing uses the module only through
    `feature_extractor`, and restores the random state.

    Args:
        every_n_epochs: epochs between pictures of the features; also drawn before the first step and at the end.
        protocol: protocol of the matches; a protocol or the name of a protocol for DAVIS, also with changes:
            `vfs+radius=3`.
        stage: stage of the network whose features are drawn, such as "res4"; None is the network's default.
        stride: pixels per cell of the features; None is the network's default.

    Raises:
        ValueError: for a bad argument; at the start of `fit`, for a method whose batches hold no clips.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        protocol: str | PropagationProtocol = "vfs",
        stage: str | None = None,
        stride: int | None = None,
    ) -> None:
        require_at_least(1, "TrainingPictures", every_n_epochs=every_n_epochs)
        self.protocol = PropagationProtocol.named(protocol)
        self.every_n_epochs = every_n_epochs
        self.stage = stage
        self.stride = stride
        # (T, 3, H, W), of the first rank, and the names of its frames
        self._clip: Tensor | None = None
        self._names: list[str] = []
        self._folder = Path()
        self._drawn_step: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the folder on all ranks, and refuse batches without clips."""
        # `images`: keys of a batch's images; a user's module may lack it, and its first batch is checked later
        if "clip" not in getattr(pl_module, "images", ["clip"]):
            raise ValueError(f"TrainingPictures draws clips, and {type(pl_module).__name__} has none: leave it out")
        self._folder = run_folder(trainer) / "pictures"
        self._clip = None
        self._drawn_step = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Draw the first batch of the run, before its step, and keep its first clip; only the first rank does.

        Raises:
            ValueError: if the batch has no clips.
        """
        if self._clip is not None or not trainer.is_global_zero:
            return
        joined = join_loaders(prepared(batch), "clip")
        if not isinstance(joined, Mapping) or "clip" not in joined:
            raise ValueError("TrainingPictures draws the clips of a batch, and the first batch has none: leave it out")
        clip = as_floats(joined["clip"])
        index = joined.get("frame_index")
        with random_state_kept():
            self._show(trainer, "clips", clip_sheet(clip, index))
        # on the CPU, because it is kept for the whole run
        self._clip = clip[0].detach().float().cpu()
        numbers = range(len(self._clip)) if index is None else index[0].tolist()
        self._names = [f"frame {number}" for number in numbers]
        self._draw(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the features every `every_n_epochs` epochs."""
        # Lightning counts this epoch only after the hooks
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the features at the end."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        clip = self._clip
        if clip is None or self._drawn_step == trainer.global_step:
            return
        self._drawn_step = trainer.global_step
        with random_state_kept(), torch.inference_mode():
            encoder = FrameEncoder(load(pl_module).view(self.stage, self.stride), self.protocol)
            features = torch.stack(list(encoder.maps(clip)))
            # pixels of the frame that the maps cover, padding of the network's input included
            covered_size = encoder.input_sizes((clip.shape[-2], clip.shape[-1])).covered
            self._show(trainer, "features", feature_sheet(clip, features, covered_size, self._names))
            if len(clip) > 1:
                middle = (features.shape[-2] // 2, features.shape[-1] // 2)
                sheet = heat_map_sheet(features, middle, clip, self.protocol, covered_size, self._names)
                self._show(trainer, "matches", sheet)

    def _show(self, trainer: Trainer, name: str, picture: Picture) -> None:
        log_picture(trainer, f"pictures/{name}", picture)
        write_picture(self._folder / f"{name}-step={trainer.global_step:06d}.png", picture)
