"""Encoders, sequences and ranks for the tests of tracking."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from callbacks import OtbBenchmark, SiamFCTracker
from callbacks.benchmarks.evaluation import RunContext
from callbacks.benchmarks.otb import BoxEvaluation
from datamodules.reading.boxes import centred
from datamodules.synthetic.writers import write_frames
from lightning_modules.backbones import Normalise

Golden = dict[str, NDArray[Any]]


class GoldenNet(nn.Module):
    """The three convolutions whose weights siamfc_tracking.npz holds."""

    stride = 8

    def __init__(self, golden: Golden) -> None:
        super().__init__()
        layers: list[nn.Module] = [Normalise((golden["hp_mean"] / 255).tolist(), (golden["hp_std"] / 255).tolist())]
        for number, padding in ((1, 2), (2, 1), (3, 1)):
            weight = torch.from_numpy(golden[f"conv{number}_weight"])
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], int(weight.shape[2]), 2, padding)
            layer.weight.data, layer.bias.data = weight, torch.from_numpy(golden[f"conv{number}_bias"])  # type: ignore[union-attr]
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class GoldenHead(GoldenNet):
    """The same below a convolution for exemplars and one for search regions."""

    def __init__(self, golden: Golden) -> None:
        super().__init__(golden)
        self.golden = {name: torch.from_numpy(array) for name, array in golden.items() if name.startswith("convfc")}

    def head(self, kind: str, images: Tensor) -> Tensor:
        weight, bias = self.golden[f"convfc_{kind}_weight"], self.golden[f"convfc_{kind}_bias"]
        return conv2d(self.layers(images), weight, bias)

    def exemplar(self, images: Tensor) -> Tensor:
        return self.head("z", images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head("x", images)


def write_moving_target(folder: Path, boxes: NDArray[np.float64]) -> None:
    """An OTB sequence: a bright patch over noise, moving as the boxes (T, 4) say; it may leave the frame."""
    noise = np.random.default_rng(0).integers(0, 80, (120, 160, 3), dtype=np.uint8)
    video = np.repeat(noise[None], len(boxes), axis=0)
    for frame, (x, y, width, height) in zip(video, boxes.tolist(), strict=True):
        left, top = round(x) - 1, round(y) - 1
        frame[max(top, 0) : max(round(top + height), 0), max(left, 0) : max(round(left + width), 0)] = (250, 220, 30)
    write_frames(folder / "img", video, [f"{t + 1:04d}.jpg" for t in range(len(boxes))])
    np.savetxt(folder / "groundtruth_rect.txt", boxes, fmt="%g", delimiter=",")


def steady(frames: int, start: tuple[float, float], step: tuple[float, float], size: tuple[float, float]) -> Any:
    """Boxes (T, 4) of a target of one size at one speed."""
    t = np.arange(frames)[:, None]
    return np.hstack([np.array(start) + t * np.array(step), np.broadcast_to(size, (frames, 2))])


class OracleTracker(SiamFCTracker):
    """Its response is 1 at the place nearest to where the target truly is, at the middle scale, and 0 elsewhere."""

    truth: NDArray[np.float64]
    frame = 0

    def responses(self, tracks: Any, pictures: Any) -> Tensor:
        (track,) = tracks
        self.frame += 1
        side = (self.protocol.response_size or 18) * self.protocol.upsampling
        pixels = track.side / self.protocol.exemplar_size * self.protocol.stride / self.protocol.upsampling
        places = (centred(self.truth[self.frame])[:2] - track.target[:2]) / pixels + (side - 1) / 2
        row, column = places.round().clip(0, side - 1).astype(int)
        response = torch.zeros(1, self.protocol.scales, side, side)
        response[0, self.protocol.scales // 2, row, column] = 1
        return response


class OracleEvaluation(BoxEvaluation):
    """Track each sequence by its own oracle."""

    def follow(self, sequence: Any) -> None:
        self.tracker = OracleTracker(self.tracker.extractor, self.tracker.protocol)
        self.tracker.truth = sequence.boxes
        super().follow(sequence)


class OracleBenchmark(OtbBenchmark):
    """OTB by the oracle."""

    def start(self, extractor: nn.Module, context: RunContext) -> BoxEvaluation:
        return OracleEvaluation(context, OracleTracker(extractor, self.protocol), self)
