"""Checkpoints of modules, without a training."""

from pathlib import Path

import pytorch_lightning as pl
import torch


def write_checkpoint(module: pl.LightningModule, output: Path) -> Path:
    """Write a module as Lightning's checkpoint, without the state of a run; return the file."""
    steps = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": pl.__version__}
    checkpoint = {**steps, "state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, output)
    return output
