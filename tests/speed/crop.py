"""Crop and flip of the 8 frames of a clip, and colour augmentation of a batch: ours against the plain ways.

    python tests/speed/crop.py

Spatial: Pillow and torchvision frame by frame, on one thread. Colour: torchvision frame by frame on the same device.
"""

import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[2]))

from datamodules.loading.sampling import ColourAugmentation, random_crops, random_resized_crop, seeded_generator
from tests.speed.timing import compare, flags


def by_pillow(frames: list[np.ndarray], generator: torch.Generator) -> torch.Tensor:
    boxes = random_crops(*frames[0].shape[:2], len(frames), (0.2, 1.0), generator)
    crops = []
    for frame, (top, left, height, width) in zip(frames, boxes, strict=True):
        box = (left, top, left + width, top + height)
        image = Image.fromarray(frame).resize((224, 224), Image.Resampling.BILINEAR, box)
        if torch.rand((), generator=generator) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crops.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    return torch.stack(crops)


def colour_by_torchvision(frames: torch.Tensor) -> torch.Tensor:
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5)
    return torch.stack([blur(v2.RandomGrayscale(0.2)(jitter(frame))) for frame in frames])


def compare_crops(height: int, width: int, rounds: int) -> None:
    generator, draws = np.random.default_rng(0), seeded_generator(0)
    frames = [cv2.resize(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height)) for _ in range(8)]
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    crop = partial(random_resized_crop, size=224)
    by_torchvision = v2.Compose([v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()])
    plain = {
        "Pillow": lambda: by_pillow(frames, draws),
        "torchvision": lambda: torch.stack([by_torchvision(frame) for frame in tensor]),
    }
    what = f"crop and flip, 8 frames of {width} x {height} to 224 x 224"
    compare(what, plain, {"vidcorr": lambda: crop(frames, draws)}, rounds)


def main() -> None:
    repeats = flags(__doc__, 40).parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    compare_crops(256, 340, repeats)
    compare_crops(720, 1280, repeats)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, augment = torch.rand(64, 3, 224, 224, device=device), ColourAugmentation()
    compare(
        f"colour augmentation, 64 frames of 224 x 224 on {device}",
        {"torchvision": lambda: colour_by_torchvision(batch)},
        {"vidcorr": lambda: augment(batch, seeded_generator(0))},
        max(1, repeats // 8),
    )


if __name__ == "__main__":
    main()
