"""A training of any network: statistics, parts and hooks; the maps of each kind are in test_kinds.py."""

import copy
import pickle

import pytest
import torch
from torch import nn

from tests.helpers import networks
from tests.helpers.refusal import refused
from vidcorr.backbones import TrainedViews
from vidcorr.lightning_modules import SiamFC, VFSSimSiam

NETWORKS = "tests.helpers.networks"


def test_training_moves_statistics_and_a_view_is_of_the_network_itself():
    method = VFSSimSiam(f"{NETWORKS}:Maps@fine", 8, 8)
    before = method.backbone.norm.running_mean.clone()
    method.embed(torch.rand(2, 3, 64, 64))
    assert not torch.equal(method.backbone.norm.running_mean, before)
    copies = (copy.deepcopy(method), pickle.loads(pickle.dumps(method)))
    nn.init.zeros_(method.backbone.fine.weight)
    images = torch.rand(2, 3, 64, 64)
    for each in copies:
        assert not torch.equal(each.eval().embed(images), method.eval().embed(images))


def test_what_gives_no_map_is_refused_at_the_start():
    for spec in ("tests.helpers.networks:Several", f"{NETWORKS}:Maps"):
        refused(ValueError, "gives several maps, choose one as stage", VFSSimSiam, spec)
    message = "backbone: expected the name of a network, such as my_module:my_network, .*; got Conv2d"
    refused(ValueError, message, SiamFC, nn.Conv2d(3, 4, 8, 8))  # the checkpoint of a module could not be read
    refused(ValueError, "Clips has no full network to train", VFSSimSiam, "tests.helpers.networks:clips_of_tokens")
    classifier = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    refused(ValueError, "Sequential: expected a map", TrainedViews().maps, classifier, torch.rand(1, 3, 64, 64))
    assert VFSSimSiam("tests.helpers.networks:plain", 8, 8).backbone_width == networks.WIDTH


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_resnet@res4"])
def test_parts_that_a_user_replaces_after_construction_are_those_that_learn(name):
    """Such as other norms, or Lightning's `sync_batchnorm`."""
    module = VFSSimSiam(name, 8, 8)
    module.backbone.bn1 = copy.deepcopy(module.backbone.bn1)
    module.embed(torch.rand(2, 3, 64, 64)).sum().backward()
    assert module.backbone.bn1.weight.grad is not None


@pytest.mark.parametrize("name", [f"{NETWORKS}:Dino", "timm:test_vit", "timm:test_resnet@res4", "timm:test_convnext"])
@pytest.mark.sampled(4)
def test_hooks_before_a_backbone_and_its_compile_count_in_its_maps(name):
    method = VFSSimSiam(name, 8, 8).eval()
    images, seen = torch.rand(2, 3, 64, 64), []
    expected = method.maps(images)
    method.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    method.maps(images)
    assert seen[0].shape == images.shape
    compiled = []
    method.backbone.compile(backend=lambda graph, _: compiled.append(graph) or graph.forward)
    torch.testing.assert_close(method.maps(images), expected)
    assert compiled
    assert "forward" not in vars(method.backbone)


@pytest.mark.parametrize("has_hook", [False, True])
@pytest.mark.slow
def test_the_steps_of_a_method_are_compiled_whole_and_its_view_exported_with_its_hooks(has_hook):
    """`trainer.fit(torch.compile(method))` compiles the steps, and `torch.onnx.export` exports the view."""
    torch._dynamo.reset()  # its graphs have no guard for hooks
    method, images = VFSSimSiam(f"{NETWORKS}:Dino", 8, 8).eval(), torch.rand(2, 3, 64, 64)
    plain = method.maps(images)
    if has_hook:
        method.backbone.register_forward_pre_hook(lambda module, inputs: (inputs[0].flip(-1) / 5,))
    expected = method.maps(images)
    assert torch.equal(plain, expected) != has_hook
    torch.testing.assert_close(torch.compile(method.maps, backend="eager")(images), expected)
    view = method.evaluated.view()
    torch.testing.assert_close(torch.export.export(view, (images,)).module()(images), view(images))
