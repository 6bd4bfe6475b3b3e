"""Encoders for the tests of tracking."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vidcorr.backbones import Normalise

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
