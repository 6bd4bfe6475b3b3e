"""ResNets seen at a stage: strides removed, dilated, folded; views that share tensors."""

import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm

from tests.helpers.foreign import enliven, features, lively_resnet18
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor, load

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_stages_are_concatenated_from_one_pass():
    network, images = load("torchvision:resnet18", seed=None).network, torch.rand(1, 3, 64, 64)
    enliven(network)
    names = ("res4+res3.b1", "res4", "res3.b1")
    views = [build_feature_extractor(network, name, 8) for name in names]
    both, fourth, block = (view(images) for view in views)
    assert torch.equal(both, torch.cat([fourth, block], dim=1))
    assert [len(view.blocks) for view in views] == [6, 6, 3]  # none behind the last one that is needed
    refused(ValueError, r"res2\+res3 of this ResNet has stride 4 and 8", build_feature_extractor, network, "res2+res3")


COMPUTED = {
    "nothing": lambda block: None,
    "weight_norm": lambda block: weight_norm(block.conv1),
    "hook on a norm": lambda block: block.bn1.register_forward_hook(lambda module, inputs, output: output + 1),
    "statistics of the batch": lambda block: setattr(block, "bn1", nn.BatchNorm2d(64, track_running_stats=False)),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize("name", COMPUTED)
def test_folding_changes_only_the_rounding_and_leaves_a_layer_that_computes_its_weight_or_is_hooked(name):
    network = lively_resnet18()
    COMPUTED[name](network.layer1[0])
    images = torch.rand(1, 3, 64, 64)
    view = build_feature_extractor(network, "res3")
    plain = features(network, images, 2)
    torch.testing.assert_close(view(images), plain, atol=1e-3, rtol=1e-3)
    folded = view.folded()
    torch.testing.assert_close(folded(images), plain, atol=1e-3, rtol=1e-3)
    is_whole = not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert is_whole == (name == "nothing")
    weights = [weight for weight in folded.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
