"""The encoder of the contrastive random walk (CRW, videowalk)."""

from torch import nn

from .networks import build_network


def crw_resnet18() -> nn.Module:
    """CRW's encoder: a ResNet-18 that ends with res4 and whose convolutions pad by reflection.

    Source: videowalk, `model_type` scratch. That it leaves out the stride of res4 is the extractor's matter (stride 8).
    """
    network = build_network("torchvision:resnet18")
    network.layer4 = nn.Sequential()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.padding_mode = "reflect"
    return network
