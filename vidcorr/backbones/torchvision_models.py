"""Networks of torchvision by name, without their classifiers, and the last map of those that are no ResNets."""

from typing import Any

from torch import Tensor, nn

from ..errors import near

CLASSIFIERS = ("fc", "classifier", "heads", "head")
LAST_MAPS = ("permute", "features", "trunk_output", "layers", "conv5", "blocks", "Mixed_7c", "inception5b")
"""Children with the last map before the pooling, in the order of search: Swin's `permute` gives channels first."""
FAMILIES = "convnext, densenet, efficientnet, maxvit, mnasnet, mobilenet, regnet, resnet, swin, vgg, …"


def build_torchvision(name: str, weights: bool) -> nn.Module:
    """Build a network of torchvision, with an identity in place of its classifier.

    Args:
        name: a name of `torchvision.models.list_models()`.
        weights: load the library's default weights, from its cache or over the network.

    Raises:
        ValueError: for an unknown name, or a network that neither pools a map nor is a ResNet (transformers, detectors,
            segmentation, flow, video).
    """
    from torchvision import models

    if name not in models.list_models():
        raise ValueError(f"backbone torchvision:{name}: Unknown model {name}{near(name, models.list_models())}")
    module = models.get_model_builder(name).__module__
    is_resnet = module.endswith("models.resnet")
    options: dict[str, Any] = {}
    if is_resnet:
        options["zero_init_residual"] = True
    chosen = models.get_model_weights(name).DEFAULT if weights else None
    if module.startswith(("torchvision.models.detection", "torchvision.models.segmentation")):
        options["weights_backbone"] = None  # torchvision would download them
    network: nn.Module = models.get_model(name, weights=chosen, **options)
    if not is_resnet and last_map_of(network) is None:
        raise ValueError(
            f"backbone torchvision:{name}: gives no map of an image; {FAMILIES} do, and transformers of timm:NAME"
        )
    children = dict(network.named_children())
    for classifier in CLASSIFIERS:
        if classifier in children:
            # SqueezeNet's classifier pools; without it, the map would be flattened
            pools = any(isinstance(part, nn.AdaptiveAvgPool2d) for part in children[classifier].modules())
            network.set_submodule(classifier, nn.AdaptiveAvgPool2d(1) if pools else nn.Identity())
    return network


def last_map_of(network: nn.Module) -> nn.Module | None:
    """Return the child of a network of torchvision whose output is its last map; None without such a child."""
    for name in LAST_MAPS:
        child = getattr(network, name, None)
        if isinstance(child, nn.ModuleList):
            return child[-1]
        if isinstance(child, nn.Module):
            return child
    return None


class MapOfTorchvision(nn.Module):
    """The last map of a network of torchvision before its pooling.

    Args:
        network: the network, which is not copied: a hook stays on its last map.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the map `(N, C, h, w)` of normalised RGB `(N, 3, H, W)`."""
        part = last_map_of(self.network)
        assert part is not None
        found: list[Tensor] = []
        handle = part.register_forward_hook(lambda module, inputs, output: found.append(output))
        try:
            self.network(images)
        finally:
            handle.remove()
        return found[0]
