"""Somebody's module on two processes of the CPU, with our loader alone: `python two_ranks.py VIDEOS FOLDER`.

A rank writes its clips and weights to `rank0.pt` or `rank1.pt`.
"""

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import VideoDataModule


class Steady(pl.LightningModule):
    """Learns features that stay the same over a clip."""

    def __init__(self, folder):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Conv2d(3, 4, 8, 8)
        self.folder = folder
        self.seen = []

    def training_step(self, batch, batch_idx):
        clip = batch["clip"].float() / 255  # the loader gives uint8
        self.seen.append({"epoch": self.current_epoch, "videos": batch["video_index"].tolist(), "clip": clip})
        return loss_of(self.encoder, clip)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_train_end(self):
        outcome = {"seen": self.seen, "weights": self.encoder.state_dict()}
        torch.save(outcome, self.folder / f"rank{self.global_rank}.pt")


def loss_of(encoder, clip):
    """Return the variance of features over the frames of clips (B, T, 3, H, W)."""
    return encoder(clip.flatten(0, 1)).unflatten(0, clip.shape[:2]).var(dim=1).mean()


def main(videos, folder):
    torch.set_num_threads(1)
    data = VideoDataModule(videos, frames=2, size=32, batch_size=1, num_workers=1, validation_fraction=0)
    data.setup("fit")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, enable_checkpointing=False, **quiet
    )
    trainer.fit(Steady(Path(folder)), data.train_dataloader())


if __name__ == "__main__":
    main(*sys.argv[1:])
