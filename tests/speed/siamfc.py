"""A frame of SiamFC tracking: ours against the plain loop on the same weights, in one process, interleaved.

Run: OMP_NUM_THREADS=1 python tests/speed/siamfc.py [--backbone torchvision:resnet18] [--repeats 3] [--targets 2]

The plain loop pads the whole frame, cuts and resizes each scale, passes the scales through the backbone one by one
(BatchNorms apart, channels first), and correlates by a convolution. Ours is timed in float32, in bfloat16, and with
several targets at once (per target). Prints min and median, the ratio, what a frame costs beside the backbone, and on a
GPU the peak memory.
"""

import argparse
import copy
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from callbacks import SiamFCTracker, TrackingProtocol  # noqa: E402
from callbacks.tracking.siamfc_tracker import Track, bicubic_weights  # noqa: E402
from callbacks.tracking.stopwatch import Stopwatch  # noqa: E402
from datamodules.reading.boxes import centred, context_side  # noqa: E402
from lightning_modules.backbones import build_encoder  # noqa: E402
from lightning_modules.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402

Picture = NDArray[np.uint8]
BOX = np.array([300.0, 200.0, 60.0, 80.0])


class PlainNormalise(nn.Module):
    """Normalise as `Normalise` does, with channels first."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.mean, self.std = (torch.tensor(x, device=device).view(-1, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class PlainTracker:
    """The same protocol, written down frame by frame."""

    def __init__(self, extractor: nn.Module, picture: Picture, device: torch.device) -> None:
        self.extractor, self.device, self.p = extractor, device, TrackingProtocol()
        y, x, height, width = centred(BOX)
        self.centre, self.size, self.side = np.array([y, x]), np.array([height, width]), context_side(height, width)
        self.exemplar = self.features(self.crop(picture, self.side, self.p.exemplar_size))

    def crop(self, picture: Picture, side: float, size: int) -> Picture:
        low = np.round(self.centre - side / 2).astype(int)
        high = np.round(self.centre + side / 2).astype(int)
        pad = max(0, *(-low), *(high - picture.shape[:2]))
        mean = picture.mean(axis=(0, 1))
        padded = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=mean.tolist())
        region = padded[low[0] + pad : high[0] + pad, low[1] + pad : high[1] + pad]
        return np.asarray(cv2.resize(region, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)

    def features(self, crop: Picture) -> Tensor:
        images = torch.from_numpy(crop).permute(2, 0, 1)[None].float().contiguous().to(self.device) / 255
        features: Tensor = self.extractor(images)
        return features

    def step(self, picture: Picture) -> NDArray[np.float64]:
        p, ups = self.p, (self.p.response_size or 18) * self.p.upsampling
        responses = []
        for number, factor in enumerate(p.factors):
            crop = self.crop(picture, self.side * p.instance_size / p.exemplar_size * factor, p.instance_size)
            raw = nn.functional.conv2d(self.features(crop), self.exemplar)[0, 0].cpu().numpy()
            up = cv2.resize(raw, (ups, ups), interpolation=cv2.INTER_CUBIC)
            responses.append(up if number == p.scales // 2 else up * p.scale_penalty)
        best = int(np.argmax([response.max() for response in responses]))
        response = responses[best] - responses[best].min()
        window = np.outer(np.hanning(ups), np.hanning(ups))
        mixed = (1 - p.window_influence) * response / response.sum() + p.window_influence * window / window.sum()
        place = np.array(np.unravel_index(mixed.argmax(), mixed.shape))
        scale = p.factors[best]
        self.centre += (place - (ups - 1) / 2) * p.stride / p.upsampling * self.side / p.exemplar_size * scale
        growth = 1 - p.scale_rate + p.scale_rate * scale
        self.size, self.side = self.size * growth, self.side * growth
        return np.array([*self.centre, *self.size])


def video(frames: int) -> list[Picture]:
    """A textured patch moving over a texture, 480 × 640."""
    generator = np.random.default_rng(0)
    ground = cv2.resize(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8), (640, 480))
    patch = cv2.resize(generator.integers(0, 256, (10, 8, 3), dtype=np.uint8), (60, 80))
    pictures = []
    for t in range(frames):
        picture = np.array(ground, np.uint8)
        picture[199 + t : 279 + t, 299 + 2 * t : 359 + 2 * t] = patch
        pictures.append(picture)
    return pictures


def necessary(tracker: SiamFCTracker, track: Track, picture: Picture, seconds: dict[str, list[float]]) -> None:
    """Add the seconds of a frame's crops, of its correlation's convolution and of its up-sampling, after a backbone."""

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[name].append(time.perf_counter() - began)
        return result

    crops = timed("crops", lambda: tracker._search_crops([track], picture))
    search, matrix = tracker._features(crops, tracker.extractor), bicubic_weights(18, 272, tracker.device)
    kernels = track.exemplar.transpose(0, 1).unsqueeze(2)
    rows = timed("convolution", lambda: nn.functional.conv2d(search, kernels))
    timed("up-sampling", lambda: matrix @ rows[:, :1, :18] @ matrix.T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="torchvision:resnet18")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--targets", type=int, default=2)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = build_encoder(arguments.backbone)
    extractor = encoder.feature_extractor("res5", dilated=True).to(device)
    channels_first: Any = copy.deepcopy(extractor).to(memory_format=torch.contiguous_format)
    channels_first.normalise = PlainNormalise(device)
    pictures = video(arguments.repeats + 2)

    watch = Stopwatch()
    ours = SiamFCTracker(extractor, stopwatch=watch)
    low = SiamFCTracker(extractor, TrackingProtocol(precision="bfloat16"))
    plain = PlainTracker(channels_first, pictures[0], device)
    track, track_low = ours.start(pictures[0], BOX), low.start(pictures[0], BOX)
    many = SiamFCTracker(extractor)
    tracks = [many.start(pictures[0], BOX) for _ in range(arguments.targets)]
    methods: dict[str, Callable[[Picture], object]] = {
        "plain": plain.step,
        "ours": lambda picture: ours.step([track], picture),
        "ours, bfloat16": lambda picture: low.step([track_low], picture),
        "ours, together": lambda picture: many.step(tracks, picture),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for t, picture in enumerate(pictures[1:]):
        for name, method in methods.items():
            began = time.perf_counter()
            method(picture)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if t:  # the first is warm-up
                seconds[name].append((time.perf_counter() - began) / (len(tracks) if "together" in name else 1))
        if not t:
            watch.seconds.clear()
    assert np.abs(track.target - np.array([*plain.centre, *plain.size])).max() < 0.05, "the two disagree"
    base = seconds["plain"]
    print(
        f"{arguments.backbone} res5 on {device}, {torch.get_num_threads()} thread(s), ms per target and frame, "
        f"{len(tracks)} targets together"
    )
    for name, values in seconds.items():
        ratio = statistics.median(base) / statistics.median(values)
        times = f"min {1e3 * min(values):8.1f}   median {1e3 * statistics.median(values):8.1f}"
        print(f"  {name:16} {times}   {ratio:.2f} x as fast as plain")
    parts = {work: 1e3 * total / arguments.repeats for work, total in watch.seconds.items()}
    print("  ours, of which   " + "   ".join(f"{work} {value:.2f}" for work, value in parts.items()))
    alone: dict[str, list[float]] = defaultdict(list)
    for picture in pictures[1:]:
        necessary(ours, track, picture, alone)
    if device.type == "cpu":  # on a GPU the times above would be those of the launches
        lowest = {work: 1e3 * min(values) for work, values in alone.items()}
        print("  necessary, min   " + "   ".join(f"{work} {value:.2f}" for work, value in lowest.items()))
    if device.type == "cuda":
        print(f"  peak memory      {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB, all methods together")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
