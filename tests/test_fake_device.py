"""Per-frame and per-step work on a GPU that is not there: nothing waits for the device, nothing is left on the CPU."""

from typing import Any

import pytest
import torch

from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import LabelPropagator, PropagationProtocol
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
