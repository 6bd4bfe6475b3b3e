"""`predict`: track a user's prompt through a video, and write the results."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from vidcorr.results.result import Network
from vidcorr.tracking.follow import SHORT_SIDE
from vidcorr.tracking.predict import OUTPUTS, extractor_for, predict_video


class VideoPrediction(pl.Callback):
    """Track the prompt of `PromptedVideoDataModule` by the features of the module, in `predict`.

    Args:
        output_dir: see `predict_video`.
        protocol: see `predict_video`.
        changes: see `predict_video`.
        stage: stage of the encoder; None is the module's, else the encoder's default; for a box SiamFC's dilated res5
            if the encoder has it.
        stride: pixels per feature cell; None is the module's, else the encoder's default.
        short_side: see `predict_video`.
        overlay: see `predict_video`.
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
        overlay: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.output_dir, self.stage, self.stride = Path(output_dir), stage, stride
        self.settings: dict[str, Any] = {
            "protocol": protocol,
            "changes": changes,
            "short_side": short_side,
            "overlay": overlay,
            "overwrite": overwrite,
        }

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse several devices: a video is followed on a single device.

        Raises:
            ValueError: in `predict` on several devices.
        """
        if stage == "predict" and trainer.world_size > 1:
            raise ValueError(f"a video is followed on one device, not {trainer.world_size}: set trainer.devices to 1")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Follow the prompt of a batch, on the first rank."""
        if not trainer.is_global_zero or "video" not in batch:
            return
        video, network = batch["video"], Network.of(pl_module)
        metadata = {
            "model": type(pl_module).__name__,
            "checkpoint": trainer.ckpt_path,
            "spec": pl_module.hparams.get("spec"),
            "weights": network.weights,
        }
        content = predict_video(
            extractor_for(pl_module, video.prompt, self.stage, self.stride),
            video.frames,
            video.prompt,
            self.output_dir,
            metadata=metadata,
            **self.settings,
        )
        files = ", ".join(name for name in OUTPUTS if (self.output_dir / name).exists())
        print(network.row)
        print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {self.output_dir}: {files}")
