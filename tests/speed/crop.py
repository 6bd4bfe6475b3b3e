"""Crop and flip of the 8 frames of a clip, and colour augmentation of a batch: ours against the plain ways.

    python tests/speed/crop.py

Spatial: Pillow and torchvision frame by frame, on one thread. Colour: torchvision frame by frame on the same device.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[2]))

from datamodules.loading.colour_augmentation import ColourAugmentation
from datamodules.loading.sampling import seeded_generator
from datamodules.loading.transforms import RandomResizedCrop, random_crops
from tests.speed.table import row


def pillow(frames: list[np.ndarray], generator: torch.Generator) -> torch.Tensor:
    boxes = random_crops(*frames[0].shape[:2], len(frames), (0.2, 1.0), (3 / 4, 4 / 3), generator)
    crops = []
    for frame, (top, left, height, width) in zip(frames, boxes, strict=True):
        box = (left, top, left + width, top + height)
        picture = Image.fromarray(frame).resize((224, 224), Image.Resampling.BILINEAR, box)
        if torch.rand((), generator=generator) < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crops.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(crops)


def colour_plain(frames: torch.Tensor) -> torch.Tensor:
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5)
    return torch.stack([blur(v2.RandomGrayscale(0.2)(jitter(frame))) for frame in frames])


def compare(title: str, methods: dict[str, Callable[[], object]], rounds: int) -> None:
    print(title)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method()
    for _ in range(rounds):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    best = min(next(iter(seconds.values())))
    for name, values in seconds.items():
        times = f"best {1e3 * min(values):8.2f} ms  median {1e3 * median(values):8.2f} ms"
        print(f"  {name:12} {times}  ours is {min(values) / best:.2f}x")
        if name != "ours":
            row(f"{title}, against {name}", min(values), best)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = np.random.default_rng(0)
    for height, width in ((256, 340), (720, 1280)):
        frames = [cv2.resize(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height)) for _ in range(8)]
        tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
        crop = RandomResizedCrop(224)
        plain = v2.Compose([v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()])
        draws = seeded_generator(0)
        methods: dict[str, Callable[[], object]] = {
            "ours": lambda f=frames, c=crop, g=draws: c(f, g),  # type: ignore[misc]
            "Pillow": lambda f=frames, g=draws: pillow(f, g),  # type: ignore[misc]
            "torchvision": lambda t=tensor, p=plain: torch.stack([p(x) for x in t]),  # type: ignore[misc]
        }
        compare(f"crop and flip, 8 frames of {width} x {height} to 224 x 224", methods, 40)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = torch.rand(64, 3, 224, 224, device=device)
    augment = ColourAugmentation()
    print(
        f"peak memory of the process before colour: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )
    compare(
        f"colour augmentation, 64 frames of 224 x 224 on {device}",
        {"ours": lambda: augment(batch, seeded_generator(0)), "torchvision": lambda: colour_plain(batch)},
        5,
    )
    print(f"peak memory of the process after: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
