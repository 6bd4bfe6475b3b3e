"""The encoder of the contrastive random walk (CRW, videowalk)."""

from torch import nn

from .networks import build_network
from .resnet import remove_strides


def crw_resnet18() -> nn.Module:
    """Return CRW's encoder: a ResNet-18 that ends with res4 and whose convolutions pad by reflection.

    Source: videowalk, `model_type` scratch. That it leaves out the stride of res4 is the extractor's matter (stride 8).
    """
    network = build_network("torchvision:resnet18")
    network.layer4 = nn.Sequential()
    return _reflecting(network)


def crw_training_resnet18() -> nn.Module:
    """Return the network that CRW trains: ResNet-18 at stride 8 up to res5, padding by reflection.

    The convolutions of res4 and res5 have stride 1 and no dilation. Residual blocks start as torchvision's do, not at
    zero.

    Source: videowalk, `model_type` scratch.
    """
    from torchvision.models import resnet18

    network = resnet18()
    network.fc = nn.Identity()
    for layer in (network.layer3, network.layer4):
        remove_strides(layer)
    return _reflecting(network)


def _reflecting(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.padding_mode = "reflect"
    return network
