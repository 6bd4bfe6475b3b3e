"""BatchNorm over groups of one pass: equal to a pass of each group, and gone after it."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.backbones.networks import build_network
from lightning_modules.components.grouped_norm import batch_norm_groups
from lightning_modules.components.heads import mlp
from tests.helpers.encoders import TinyResNet


def head_of_resnet() -> nn.Module:
    return nn.Sequential(TinyResNet(), mlp(8, 16, 4, norm=True, norm_last=True))


def timms_resnet() -> nn.Module:
    return build_network("timm:resnet10t")


def averaging() -> nn.Module:
    """BatchNorm whose running statistics are the mean over all passes."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.Linear(144, 4).double())


def passed(network: nn.Module, images: Tensor, groups: int, together: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs, and every gradient and buffer after one pass together or after passes apart."""
    if together:
        with batch_norm_groups(network, groups):
            output = network(images)
    else:
        output = torch.cat([network(part) for part in images.chunk(groups)])
    output.square().mul(torch.linspace(0, 1, output.numel()).view_as(output)).sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    return output.detach(), gradients | dict(network.named_buffers())


@pytest.mark.parametrize("build", [head_of_resnet, timms_resnet, averaging])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_equals_passes_of_each_group(build, groups: int) -> None:
    torch.manual_seed(0)
    one = build().double().train()
    other = copy.deepcopy(one)
    images = torch.randn(8, 3, 32 if build is not averaging else 8, 32 if build is not averaging else 8).double()
    outputs, left = passed(one, images, groups, together=True)
    expected, left_apart = passed(other, images, groups, together=False)
    torch.testing.assert_close(outputs, expected)
    assert left.keys() == left_apart.keys()
    for name, tensor in left_apart.items():
        torch.testing.assert_close(left[name], tensor, msg=lambda text, name=name: f"{name}: {text}")
    if groups > 1:
        plain = build().double().train()
        plain.load_state_dict(other.state_dict())
        assert not torch.allclose(plain(images), outputs)


def test_nothing_is_left_behind_even_after_an_error() -> None:
    network = TinyResNet()
    names = list(network.state_dict())
    with pytest.raises(RuntimeError), batch_norm_groups(network, 2):
        network(torch.zeros(4, 5, 32, 32))
    assert list(network.state_dict()) == names
    assert all("forward" not in module.__dict__ for module in network.modules())
