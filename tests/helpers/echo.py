"""Data sets of keys for tests of loaders; workers import this file, so it needs no Lightning."""

import os
import signal
import time
from typing import Any

import torch

from vidcorr.datamodules.loading.clips import Key, ReplacingDataset


class Echo(ReplacingDataset):
    """Gives back the keys."""

    def __init__(self, length: int) -> None:
        super().__init__([""] * length, length, seed=0)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        return {"key": torch.tensor(key)}


class Harmed(Echo):
    """Of sample 2 its worker takes half a second, or it is killed."""

    def __init__(self, length: int, kills: bool) -> None:
        super().__init__(length)
        self.kills = kills

    def __getitem__(self, key):
        if key[1] == 2:
            time.sleep(0.5)
            if self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)
