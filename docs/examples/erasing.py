"""An augmentation of your own: `--data.crops docs.examples.erasing.WithErasing --data.crops.side 8`."""

from dataclasses import dataclass

import torch

from vidcorr.datamodules import RandomCrops


@dataclass(frozen=True)
class WithErasing(RandomCrops):
    """Random crops, of which a square of `side` pixels is grey."""

    side: int = 16

    def __call__(self, frames, generator, size):
        clip = super().__call__(frames, generator, size)  # (T, 3, size, size) uint8
        for frame in clip:
            y, x = torch.randint(size - self.side + 1, (2,), generator=generator).tolist()
            frame[:, y : y + self.side, x : x + self.side] = 128
        return clip
