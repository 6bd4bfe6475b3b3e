"""A tiny VFSSimSiam, its clips and its training."""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

TINY = {"backbone": "tests.helpers.encoders:TinyResNet", "projector_dim": 16, "predictor_dim": 8}


def loader(videos=8, batch_size=4, frames=4):
    return DataLoader([{"clip": torch.rand(frames, 3, 32, 32)} for _ in range(videos)], batch_size=batch_size)


def fit(module, folder, **arguments):
    settings = {"max_epochs": 1, "accelerator": "cpu", "logger": False, "enable_progress_bar": False} | arguments
    trainer = pl.Trainer(default_root_dir=folder, enable_model_summary=False, **settings)
    trainer.fit(module, loader())
    return trainer
