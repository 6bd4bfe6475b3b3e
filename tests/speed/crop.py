"""Crop and flip of the 8 frames of a clip, and colour augmentation of a batch: ours against the plain way.

    python -m tests.speed.crop

The plain way is torchvision frame by frame; crops on one thread of the CPU, colours on the same device.
"""

import cv2
import numpy as np
import torch
from torchvision.transforms import v2

from datamodules.loading.colour import ColourAugmentation
from datamodules.loading.sampling import random_resized_crop, seeded_generator
from tests.speed.timing import DEVICE, compare, flags


def colour_by_torchvision(frames: torch.Tensor) -> torch.Tensor:
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5)
    return torch.stack([blur(v2.RandomGrayscale(0.2)(jitter(frame))) for frame in frames])


def compare_crops(height: int, width: int, rounds: int) -> None:
    generator, draws = np.random.default_rng(0), seeded_generator(0)
    frames = [cv2.resize(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height)) for _ in range(8)]
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    by_torchvision = v2.Compose([v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()])
    compare(
        f"crop and flip, 8 frames of {width} x {height} to 224 x 224",
        {"torchvision": lambda: torch.stack([by_torchvision(frame) for frame in tensor])},
        lambda: random_resized_crop(frames, draws, size=224),
        rounds,
    )


def main() -> None:
    repeats = flags(__doc__, 40).parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    compare_crops(256, 340, repeats)
    compare_crops(720, 1280, repeats)
    batch, augment = torch.rand(64, 3, 224, 224, device=DEVICE), ColourAugmentation()
    compare(
        f"colour augmentation, 64 frames of 224 x 224 on {DEVICE}",
        {"torchvision": lambda: colour_by_torchvision(batch)},
        lambda: augment(batch, seeded_generator(0)),
        max(1, repeats // 8),
    )


if __name__ == "__main__":
    main()
