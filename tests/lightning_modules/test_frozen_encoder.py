"""A backbone that learns nothing, and its defaults."""

import torch

from lightning_modules import FrozenEncoder


def test_frozen_encoder_gives_its_defaults_and_what_is_asked_for():
    module = FrozenEncoder("torchvision:resnet18", stage="res3", stride=8)
    images = torch.rand(1, 3, 64, 64)
    assert module.feature_extractor()(images).shape == (1, 128, 8, 8)
    assert module.feature_extractor("res5", 32)(images).shape == (1, 512, 2, 2)
    assert len(list(module.val_dataloader())) == 1
