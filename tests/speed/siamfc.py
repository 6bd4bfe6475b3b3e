"""A frame of SiamFC tracking: ours against the plain loop on the same weights, in one process, interleaved.

Run: OMP_NUM_THREADS=1 python tests/speed/siamfc.py [--backbone torchvision:resnet18] [--repeats 3] [--targets 2]

The plain loop pads the whole frame, cuts and resizes each scale, passes the scales through the backbone one by one
(BatchNorms apart, channels first), and correlates by a convolution. Ours is timed in float32, in bfloat16, and with
several targets at once (per target); what a frame costs beside the backbone comes last.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks import SiamFCTracker, TrackingProtocol
from callbacks.tracking.stopwatch import Stopwatch
from datamodules.reading.boxes import centred, context_side
from lightning_modules.backbones import build_encoder
from tests.speed.davis_stages import plain_backbone
from tests.speed.timing import flags, interleave, row

Picture = NDArray[np.uint8]
BOX = np.array([300.0, 200.0, 60.0, 80.0])


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


def main() -> None:
    parser = flags(__doc__, 3)
    parser.add_argument("--backbone", default="torchvision:resnet18")
    parser.add_argument("--targets", type=int, default=2)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extractor = build_encoder(given.backbone).feature_extractor("res5", dilated=True).to(device)
    first, *images = video(given.repeats + 2)
    plain, watch = PlainTracker(plain_backbone(extractor), first, device), Stopwatch()
    trackers = {
        "vidcorr": SiamFCTracker(extractor, stopwatch=watch),
        "vidcorr, bfloat16": SiamFCTracker(extractor, TrackingProtocol(precision="bfloat16")),
        f"vidcorr, {given.targets} together": SiamFCTracker(extractor),
    }
    counts = (1, 1, given.targets)
    tracks = {
        name: [tracker.start(first, BOX) for _ in range(count)]
        for (name, tracker), count in zip(trackers.items(), counts, strict=True)
    }

    def follow(name: str):
        """A call is the next frame."""
        frames = iter(images)
        return lambda: trackers[name].step(tracks[name], next(frames))

    frames = iter(images)
    found = interleave(
        {"plain": lambda: plain.step(next(frames)), **{name: follow(name) for name in trackers}}, given.repeats
    )
    target = tracks["vidcorr"][0].target
    assert np.abs(target - np.array([*plain.centre, *plain.size])).max() < 0.05, "the two disagree"
    for name, times in found.items():
        print(f"{name}: {times}")
        if name != "plain":
            what = f"SiamFC frame, {given.backbone} on res5 dilated, {name}"
            row(what, found["plain"].least, times.least / len(tracks[name]))
    print(*(f"{work} {1e3 * total / len(images):.1f} ms a frame" for work, total in watch.seconds.items()), sep=", ")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
