"""CRW's encoders: padding by reflection, and the stride of the network that is trained."""

import torch
from torch import nn

from lightning_modules.backbones import crw_resnet18, crw_training_resnet18


def test_every_convolution_with_a_border_reflects() -> None:
    for network in (crw_resnet18(), crw_training_resnet18()):
        padded = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        assert len(padded) > 10
        assert all(module.padding_mode == "reflect" for module in padded)


def test_the_trained_network_keeps_stride_8_and_has_no_classifier() -> None:
    with torch.inference_mode():
        network = crw_training_resnet18().eval()
        x = network.maxpool(network.relu(network.bn1(network.conv1(torch.rand(1, 3, 64, 64)))))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = layer(x)
    assert x.shape == (1, 512, 8, 8)
    assert isinstance(network.fc, nn.Identity)
