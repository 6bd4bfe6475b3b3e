"""`predict`: track a user's prompts through a video, and write the results."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from datamodules.reading.prompts import BoxPrompt, Prompt
from lightning_modules.backbones import build_encoder

from .follow import SHORT_SIDE
from .output_files import OUTPUTS, Overlay
from .predict import predict_video


class VideoPrediction(pl.Callback):
    """Track the prompts of `PromptedVideoDataModule` by the features of the module, in `predict`.

    Args:
        output_dir: see `predict_video`.
        protocol: see `predict_video`.
        changes: see `predict_video`.
        stage: stage of the encoder; None is the module's, else the encoder's own choice, and SiamFC's dilated res5 for
            a box where there is one.
        stride: pixels per feature cell; None is the module's, else the encoder's own choice.
        short_side: see `predict_video`.
        overlay: see `predict_video`.
        exports: see `predict_video`.
        overwrite: see `predict_video`.

    Raises:
        ValueError: when it begins, if the Trainer has more than one device.
    """

    def __init__(
        self,
        output_dir: str | Path = "prediction",
        protocol: str | None = None,
        changes: dict[str, Any] | None = None,
        stage: str | None = None,
        stride: int | None = None,
        short_side: int | None = SHORT_SIDE,
        overlay: Overlay = "mp4",
        exports: list[str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.output_dir, self.stage, self.stride = Path(output_dir), stage, stride
        self.settings: dict[str, Any] = {
            "protocol": protocol,
            "changes": changes,
            "short_side": short_side,
            "overlay": overlay,
            "exports": exports or [],
            "overwrite": overwrite,
        }

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse several devices: one video is followed on one.

        Raises:
            ValueError: in `predict` on several devices.
        """
        if stage == "predict" and trainer.world_size > 1:
            raise ValueError(f"one video is followed on one device, not {trainer.world_size}: set --trainer.devices 1")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Follow the prompts of a batch, on the first rank."""
        if not trainer.is_global_zero or "video" not in batch:
            return
        video = batch["video"]
        metadata = {
            "model": type(pl_module).__name__,
            "checkpoint": trainer.ckpt_path,
            "spec": pl_module.hparams.get("spec"),
        }
        content = predict_video(
            extractor_for(pl_module, video.prompt, self.stage, self.stride),
            video.frames,
            video.prompts,
            self.output_dir,
            metadata=metadata,
            **self.settings,
        )
        files = ", ".join(name for name in OUTPUTS if (self.output_dir / name).exists())
        print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {self.output_dir}: {files}")


def extractor_for(module: Any, prompt: Prompt, stage: str | None = None, stride: int | None = None) -> nn.Module:
    """Return the extractor of a module that follows a prompt.

    Args:
        module: see `build_encoder`.
        prompt: a box is followed by the dilated res5 where neither the call nor the module names a stage
            or stride and the encoder has it.
        stage: see `FeatureExtractor`.
        stride: pixels per feature cell.
    """
    encoder = build_encoder(module)
    own = getattr(module, "hparams", {})
    named = [stage, stride, own.get("stage"), own.get("stride")]
    if isinstance(prompt, BoxPrompt) and all(index is None for index in named):
        try:
            return encoder.feature_extractor("res5", dilated=True)
        except ValueError:
            pass  # no ResNet
    return encoder.feature_extractor(stage, stride)
