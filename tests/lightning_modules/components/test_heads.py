"""Heads as the papers have them."""

import torch
from torch import nn

from lightning_modules import VFSMoCo


def test_encoders_start_alike_and_heads_are_those_of_the_paper() -> None:
    module = VFSMoCo(queue_size=8)
    for ours, theirs in zip(module.encoder.parameters(), module.target_encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert [str(type(layer).__name__) for layer in module.projector] == ["Linear", "ReLU", "Linear"]
    assert [layer.out_features for layer in module.projector if isinstance(layer, nn.Linear)] == [512, 128]
