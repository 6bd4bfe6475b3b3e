"""Atomic writing of checkpoint files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch

from .metadata import metadata_of


@contextmanager
def written_completely(path: Path) -> Iterator[Path]:
    """Give a temporary name next to a file; the temporary file replaces it when the block ends without an error.

    Args:
        path: the file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_checkpoint(module: pl.LightningModule, output: Path) -> None:
    """Write a module as Lightning's checkpoint, without the state of a run.

    Args:
        module: a module of this project.
        output: the file, written atomically.
    """
    state = module.state_dict()
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": pl.__version__,
        "state_dict": state,
        "hyper_parameters": dict(module.hparams),
        "vidcorr": metadata_of(module, state),
    }
    with written_completely(output) as unfinished:
        torch.save(checkpoint, unfinished)
