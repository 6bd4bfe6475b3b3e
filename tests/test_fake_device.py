"""Per-frame and per-step work on a GPU that is not there: nothing waits for the device, nothing is left on the CPU."""

from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import SiamFCTracker, TrackingProtocol
from callbacks.tracking.label_tracker import LabelTracker
from callbacks.tracking.siamfc_tracker import Track
from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import LabelPropagator, PropagationProtocol, decode_masks
from tests.helpers.fake_device import fake_cuda, moved

SOURCES = PropagationProtocol.sources()
WAITING = {
    name for name in SOURCES if PropagationProtocol.named(name, next(iter(SOURCES[name].values))).topk_ties == "kept"
}
"""Protocols that keep ties: whether there are more than were searched for is one question a frame to the device."""


@pytest.mark.parametrize("name", sorted(set(SOURCES) - WAITING))
def test_propagation_never_waits(name: str) -> None:
    protocol = PropagationProtocol.named(name, next(iter(SOURCES[name].values)))
    with fake_cuda() as device:
        propagator = LabelPropagator(torch.rand(3, 20, 24, device=device), protocol)
        for _ in range(8):
            labels = propagator.step(torch.randn(32, 20, 24, device=device))
        assert labels.device.type == "cuda"
        assert labels.shape == (3, 20, 24)


@pytest.mark.parametrize(
    ("spec", "stage", "stride"),
    [
        ("torchvision:resnet18", "res4", 8),
        ("torchvision:resnet50", ["res3", "res4"], 8),
        ("timm:vit_tiny_patch16_224", None, None),
        ("raw_colour", None, 8),
    ],
)
def test_extractors_stay_on_the_device(spec: str, stage: Any, stride: int | None) -> None:
    extractor = build_feature_extractor(spec, stage=stage, stride=stride)
    with fake_cuda() as device:
        maps = moved(extractor, device)(torch.rand(1, 3, 96, 128, device=device))
        assert {each.device.type for each in (maps if isinstance(maps, list) else [maps])} == {"cuda"}


class NoTimes:
    """Counts nothing: marks of time need a real device."""

    def __call__(self, work: str, device: torch.device | None = None) -> Any:
        return nullcontext()

    def timed(self, work: str, items: Any) -> Any:
        return items


class Everywhere:
    """Labels of two objects."""

    def encode(self, grid: tuple[int, int], protocol: PropagationProtocol) -> torch.Tensor:
        return torch.rand(3, *grid, device="cuda")


class Folded(torch.nn.Module):
    """An extractor's folded copy, which `LabelTracker` takes as it is: `Module.to` does not work on the fake device."""

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.stride = extractor.stride
        self.network = extractor.folded() if hasattr(extractor, "folded") else extractor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images)
        return features


@pytest.mark.parametrize(("name", "spec"), [("vfs", "torchvision:resnet18"), ("vidcorr", "timm:vit_tiny_patch16_224")])
def test_the_engine_never_waits_between_frames(name: str, spec: str) -> None:
    """Frames from the CPU to masks at the frames' size, which the benchmarks' `run` fetches."""
    protocol = PropagationProtocol.named(name)
    extractor = Folded(build_feature_extractor(spec, stage="res4" if name == "vfs" else None))
    with fake_cuda() as device, torch.no_grad():
        tracker = LabelTracker(moved(extractor, device), protocol, NoTimes())  # type: ignore[arg-type]
        frames = [(torch.zeros(3, 96, 128, dtype=torch.uint8), Everywhere() if t == 0 else None) for t in range(9)]
        track = LabelTracker.track.__wrapped__  # type: ignore[attr-defined]  # inference mode makes tensors that are not fake
        for frame in islice(track(tracker, frames, tracker.view((96, 128))), 8):  # at the end of a video it waits once
            masks = decode_masks(frame.labels[0], (96, 128))
            assert masks.device.type == "cuda"
            assert masks.shape == (96, 128)


def test_siamfc_waits_once_a_frame() -> None:
    """For the numbers of the peaks, without which the next region cannot be cut out."""
    extractor = Folded(build_feature_extractor("torchvision:resnet18", stage="res4"))
    picture = np.zeros((120, 160, 3), np.uint8)
    with fake_cuda() as device:
        tracker = SiamFCTracker(moved(extractor, device), TrackingProtocol(), NoTimes())  # type: ignore[arg-type]
        exemplar = tracker._features(picture[None, :120, :120], tracker.extractor)[0][:, :6, :6]
        track = Track(np.array([60.0, 80.0, 20.0, 30.0]), 60.0, exemplar)
        peaks = tracker._peaks(tracker.responses([track], [picture]))
        assert peaks.device.type == "cuda"
        assert peaks.shape == (3, 1)


@pytest.mark.parametrize("method", [VFSSimSiam, VFSMoCo, Liir])
def test_training_steps_stay_on_the_device(method: Any) -> None:
    """The loss of a batch, without a value being read on the way; autograd itself needs a real device."""
    if method is Liir:
        module = Liir(bank_frames=4, position_size=32)
        clip, keys = torch.rand(2, 2, 3, 64, 64), {}
    else:
        keys = {"queue_size": 64} if method is VFSMoCo else {}
        module, clip = method(**keys), torch.rand(4, 4, 3, 64, 64)
    module.log = module.log_dict = lambda *words, **options: None  # type: ignore[method-assign, assignment]
    with fake_cuda() as device:
        twin = moved(module, device)
        batch = {"clip": clip.to(device), "video_index": torch.arange(len(clip)).to(device)}
        # which channel Liir drops is drawn on the CPU, where no draw of a fake tensor has a value
        published = twin.objective(batch, dropped=1) if method is Liir else twin.step(batch)
        loss = published["loss"]
        assert loss.device.type == "cuda"
