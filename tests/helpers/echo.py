"""Data sets of keys for tests of loaders; workers import this file, so it needs no Lightning."""

from typing import Any

import torch

from vidcorr.datamodules.loading.clips import Key, ReplacingDataset


class Echo(ReplacingDataset):
    """Gives back the keys."""

    def __init__(self, length: int) -> None:
        super().__init__([""] * length, length, seed=0)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        return {"key": torch.tensor(key)}
