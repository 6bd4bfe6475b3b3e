"""Views: the map of a stage is what a plain forward hook sees in the network's own call, to the bit.

Also tests `backbones/outputs.py`, `backbones/resnet.py`.
"""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.models import VisionTransformer
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from tests.helpers import networks
from tests.helpers.encoders import TinyResNet, tiny_vit
from tests.helpers.foreign import enliven
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from vidcorr.backbones import LiirEncoder, TrainedViews, build_feature_extractor, freeze_unused, load
from vidcorr.backbones.resnet import remove_strides
from vidcorr.backbones.views import NetworkView
from vidcorr.functional.colour import normalised_lab
from vidcorr.lightning_modules import VFSSimSiam

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class Around(nn.Module):
    """An adapter around a stage: its parts in a row compute another map."""

    def __init__(self, stage, channels):
        super().__init__()
        self.stage, self.down, self.up = stage, nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x):
        y = self.stage(x)
        return y + self.up(self.down(y).relu())


class Gate(Around):
    def forward(self, x):
        y = self.stage(x)
        return y * self.up(self.down(y.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Lora(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a, self.b = nn.Linear(base.in_features, 2, bias=False), nn.Linear(2, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


class PreActivation(nn.Sequential):
    """A stage whose norm comes before its convolution."""

    def __init__(self, inputs, outputs, stride):
        super().__init__(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, outputs, 3, stride, 1))


class NormsLast(nn.Module):
    """Two convolutions, registered before their two norms, in a block of a ResNet."""

    def __init__(self, channels):
        super().__init__()
        self.conv_a, self.conv_b = (nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(2))
        self.norm_a, self.norm_b = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm_b(self.conv_b(self.norm_a(self.conv_a(x)).relu()))


class OfTheBatch(nn.Sequential):
    def __init__(self, channels):
        super().__init__(nn.Conv2d(channels, channels, 1), nn.InstanceNorm2d(channels, track_running_stats=False))


class Reused(nn.Module):
    """A layer that works in place follows the stage."""

    def __init__(self):
        super().__init__()
        self.cells, self.act, self.head = nn.Conv2d(3, 8, 8, 8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 1)

    def forward(self, images):
        return self.head(self.act(self.cells(images)))


class Checkpointed(nn.Module):
    def __init__(self, use_reentrant=False):
        super().__init__()
        self.first, self.second, self.use_reentrant = nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 8, 1), use_reentrant

    def forward(self, images):
        return checkpoint(lambda x: self.second(self.first(x)), images, use_reentrant=self.use_reentrant).mean((2, 3))


def changed(make: Callable[[], Any], change: Callable[[Any], Any]) -> Callable[[], Any]:
    def made():
        network = make()
        change(network)
        return network

    return made


def vit():
    return VisionTransformer(64, 16, num_classes=4, embed_dim=48, depth=3, num_heads=3, dynamic_img_size=True)


def rolled(module, inputs, output):
    return output.roll(1, 1) / 2


def wrap_blocks(network):
    for block in network.blocks:
        block.attn.qkv = Lora(block.attn.qkv)


def frozen_norms(network):
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval().requires_grad_(False)


RESNETS = {
    "plain": TinyResNet,
    "torchvision's": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=8),
    "adapter": changed(TinyResNet, lambda net: setattr(net, "layer3", Around(net.layer3, 8))),
    "adapter around res3": changed(TinyResNet, lambda net: setattr(net, "layer2", Around(net.layer2, 8))),
    "gate": changed(TinyResNet, lambda net: setattr(net, "layer3", Gate(net.layer3, 8))),
    "gate on a block": changed(TinyResNet, lambda net: net.layer3.__setitem__(0, Gate(net.layer3[0], 8))),
    "hook": changed(TinyResNet, lambda net: net.layer3.register_forward_hook(rolled)),
    "hook on a layer": changed(TinyResNet, lambda net: net.layer3[0][1].register_forward_hook(rolled)),
    "hook before": changed(TinyResNet, lambda net: net.register_forward_pre_hook(lambda m, i: (i[0].flip(-1),))),
    "pre-activation": changed(TinyResNet, lambda net: setattr(net, "layer3", PreActivation(8, 8, 2))),
    "norms last": changed(TinyResNet, lambda net: net.layer2.append(NormsLast(8))),
    "two norms": changed(TinyResNet, lambda net: net.layer2[0].insert(2, nn.BatchNorm2d(8))),
    "spectral norm": changed(TinyResNet, lambda net: parametrizations.spectral_norm(net.layer3[0][0])),
    "weight norm": changed(TinyResNet, lambda net: parametrizations.weight_norm(net.layer3[0][0])),
    "statistics of the batch": changed(TinyResNet, lambda net: net.layer2.append(OfTheBatch(8))),
    "frozen norms": changed(TinyResNet, frozen_norms),
    "channels last": changed(TinyResNet, lambda net: net.to(memory_format=torch.channels_last)),
    "double": changed(TinyResNet, lambda net: net.double()),
    "half": changed(TinyResNet, lambda net: net.bfloat16()),
}
"""Networks with a ResNet's parts."""
OTHERS = {
    "timm resnet": ("timm:test_resnet", "layer3", "layer3", 0),
    "timm convnext": ("timm:test_convnext", "stage2", "stages.1", 0),
    "timm convnext, joined": ("timm:test_convnext", "stages.1.blocks", "stages.1.blocks", 0),
    "timm efficientnet": ("timm:test_efficientnet", "stage2", "blocks.1", 0),
    "timm vit": (vit, None, "norm", 16),
    "timm vit, block": (vit, "blocks.1", "blocks.1", 16),
    "timm vit, layer": (vit, "blocks.1.mlp", "blocks.1.mlp", 16),
    "vit with a hook": (changed(vit, lambda net: net.blocks[1].register_forward_hook(rolled)), None, "norm", 16),
    "vit with an adapter": (changed(vit, wrap_blocks), "blocks.2", "blocks.2", 16),
    "tiny vit": (tiny_vit, "block2", "norm", 8),
    "DINO's layout": (networks.Dino, "block2", "blocks.1", 8),
    "module": (networks.Tied, "cells", "cells", 0),
    "in place": (Reused, "cells", "cells", 0),
    "checkpointing": (Checkpointed, "first", "first", 0),
}
"""Network, stage, path of its part, and side of a patch in pixels of tokens."""


def lively(make):
    torch.manual_seed(0)
    network = load(make).network if isinstance(make, str) else make()
    enliven(network)
    return network


def by_own_call(network, path, images=IMAGES, patch=0):
    """Return the map of a part in the network's own call, by a plain hook."""
    kept = []
    hook = network.get_submodule(path).register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    network(images.to(next(network.parameters()).dtype))
    hook.remove()
    if not patch:
        return kept[0]
    size = images.shape[2] // patch, images.shape[3] // patch
    return kept[0][:, -size[0] * size[1] :].mT.unflatten(2, size)


def unit(network, *stage):
    """Return a view that gets images as they are."""
    return build_feature_extractor(network, *stage, mean=(0, 0, 0), std=(1, 1, 1))


def as_float(maps):
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


@torch.no_grad()
@pytest.mark.parametrize("name", RESNETS)
def test_a_stage_of_a_resnet_is_that_of_its_own_call(name):
    network = lively(RESNETS[name]).train()
    if name == "frozen norms":
        frozen_norms(network)
    modes = [part.training for part in network.modules()]
    plain = copy.deepcopy(network).eval()
    for stage, stride, path in (("res4", 16, "layer3"), ("layer2", None, "layer2")):
        view = unit(network, stage, stride)
        assert torch.equal(view(IMAGES), as_float(by_own_call(plain, path)))
    for layer in (plain.layer3, plain.layer4):
        remove_strides(layer)
    view = unit(network)
    assert (view.stage, view.stride) == ("res4", 8)
    assert torch.equal(view(IMAGES), as_float(by_own_call(plain, "layer3")))
    torch.testing.assert_close(view.folded()(IMAGES), view(IMAGES), atol=1e-2 if name == "half" else 1e-4, rtol=1e-3)
    assert [part.training for part in network.modules()] == modes


NOT_FOLDED = ("norms last", "two norms", "hook on a layer", "pre-activation", "half")


@torch.no_grad()
@pytest.mark.parametrize("name", [*NOT_FOLDED, "plain", "adapter", "weight norm"])
def test_batchnorm_is_folded_where_the_copy_gives_the_map_of_the_call(name):
    view = unit(lively(RESNETS[name]))
    norms = [part for part in view.folded().modules() if isinstance(part, nn.BatchNorm2d)]
    assert (view.folded() is view) == (name in ("norms last", "half"))
    assert bool(norms) == (name in NOT_FOLDED or name == "weight norm")


@torch.no_grad()
@pytest.mark.parametrize("name", OTHERS)
def test_a_stage_is_that_of_the_networks_own_call(name):
    make, stage, path, patch = OTHERS[name]
    network = lively(make).eval()
    view = unit(network, stage)
    wanted = by_own_call(network, path, IMAGES, patch)
    assert torch.equal(view(IMAGES), wanted)
    assert torch.equal(unit(network.train(), stage)(IMAGES), wanted)
    assert network.training
    if "hook" not in name:
        for other in (copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
            assert torch.equal(other(IMAGES), wanted)
            assert other.network is not network


@torch.no_grad()
def test_liirs_stages_are_those_of_its_call_of_lab():
    network = lively(lambda: LiirEncoder(position_size=8)).eval()
    images = IMAGES[:1, :, :32, :32]
    lab = normalised_lab(images)
    assert torch.equal(build_feature_extractor(network)(images), network(lab))
    for stage, path, stride in (("res2", "layer1", 2), ("res5.b1", "layer4.0", 4)):
        view = build_feature_extractor(network, stage)
        assert view.stride == stride
        assert torch.equal(view(images), by_own_call(network, path, lab))


GRADIENTS = ("adapter", "gate", "hook", "norms last", "frozen norms", "double")


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_and_unused_parts_are_those_of_the_networks_own_call(name):
    network = lively(RESNETS[name])
    other = copy.deepcopy(network)
    kept = []
    other.layer3.register_forward_hook(lambda module, inputs, output: kept.append(output))
    other(IMAGES.to(other.conv1.weight.dtype))
    kept[0].float().square().sum().backward()
    views = TrainedViews("res4")
    views.maps(network, IMAGES).square().sum().backward()
    unused = freeze_unused(lambda images: views.maps(network, images), network)
    assert unused
    assert all(part.startswith("layer4.") for part in unused)
    for (path, mine), wanted in zip(network.named_parameters(), other.parameters(), strict=True):
        assert (mine.grad is None) == (wanted.grad is None), path
        assert mine.grad is None or torch.equal(mine.grad, wanted.grad), path


def test_a_call_ends_early_and_leaves_the_network_as_it_was():
    network, calls = lively(TinyResNet).eval(), []
    network.layer4.register_forward_pre_hook(lambda module, inputs: calls.append(module))
    view = unit(network, "res4", 16)
    calls.clear()
    hooks = [len(part._forward_hooks) for part in network.modules()]
    view(IMAGES)
    assert calls == []
    assert [len(part._forward_hooks) for part in network.modules()] == hooks
    behind = []
    network.register_forward_hook(lambda module, inputs, output: behind.append(output))
    view(IMAGES)
    assert behind == []  # the call did not come to its end
    view = unit(nn.Sequential(network, nn.Identity()), "0.layer4")
    behind.clear()
    view(IMAGES)
    assert behind == []  # nor that of a part within which it ends


class Nested(nn.Module):
    """A network whose call views another one."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = TinyResNet(), nn.Conv2d(8, 4, 1)
        self.view = [NetworkView(self.inner, "layer2")]

    def forward(self, images):
        return {"fine": self.head(self.view[0](images)), "pooled": self.inner(images)}


@torch.no_grad()
def test_a_view_within_the_call_of_another_ends_its_own_call_alone():
    network = lively(Nested).eval()
    assert torch.equal(unit(network, "fine")(IMAGES), network(IMAGES)["fine"])
    assert torch.equal(unit(network, "head")(IMAGES), network(IMAGES)["fine"])


@torch.no_grad()
def test_a_key_of_the_output_comes_before_a_module_of_its_name():
    network = lively(networks.Maps).eval()
    assert torch.equal(unit(network, "fine")(IMAGES), network(IMAGES)["fine"])  # behind the norm
    assert torch.equal(unit(network, "norm")(IMAGES), network(IMAGES)["fine"])


SENTENCES = {
    "lacking": (TinyResNet, "res7", r"stage 'res7': TinyResNet has .*res4\.b1.*res5; null is its default"),
    "two strides": (TinyResNet, "res2+res3", r"res2\+res3 of TinyResNet has stride 4 and 8: name @res3/8"),
    "vector": (Checkpointed, None, r"expected a map \(N, C, h, w\), got \(1, 8\).*name a part"),
    "reentrant": (lambda: Checkpointed(True), "first", r"first: computed without its graph, .*use_reentrant=False"),
    "unreached": (networks.NeckOfZeros, "avgpool", "stage 'avgpool': the call of NeckOfZeros does not reach it"),
}


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("name", SENTENCES)
def test_what_gives_no_map_is_one_sentence(name):
    make, stage, sentence = SENTENCES[name]
    network = make()

    def train():
        view = TrainedViews(stage) if name == "reentrant" else unit(network, stage)
        view.maps(network, IMAGES.requires_grad_())

    refused(ValueError, sentence, train)


class OfWholeCells(nn.Module):
    """Refuses sides that are no multiple of some pixels, as necks of segmentation do, without a statement."""

    def __init__(self, cell):
        super().__init__()
        self.cell, self.cells, self.up = cell, nn.Conv2d(3, 8, 4, 4), nn.Upsample(scale_factor=cell // 4)

    def forward(self, images):
        coarse = nn.functional.avg_pool2d(self.cells(images), self.cell // 4)
        return self.up(coarse) + self.cells(images)


@pytest.mark.parametrize("cell", [8, 16, 32])
def test_sides_that_a_network_refuses_are_padded_to_the_first_multiple_that_it_takes(cell):
    network = OfWholeCells(cell)
    view = unit(network)
    assert (view.multiple, view.stride) == (cell, 4)
    images = torch.rand(1, 3, 61, 90)
    padded = nn.functional.pad(images, (0, -90 % cell, 0, -61 % cell))
    assert torch.equal(view(images), network(padded))


def test_types_of_weights_train_and_the_map_is_float32_or_finer():
    for dtype, wanted in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        network = lively(TinyResNet).to(dtype)
        assert unit(network)(IMAGES).dtype == wanted
        assert TrainedViews().maps(network, IMAGES).dtype == IMAGES.dtype
        method = VFSSimSiam(network, 8, 8)
        method.step({"clip": torch.rand(2, 2, 3, 64, 64)})["loss"].backward()
        assert network.conv1.weight.grad.dtype == dtype


@pytest.mark.slow
def test_a_compiled_network_is_one_graph_and_runs_to_its_end():
    network = lively(TinyResNet).eval()
    wanted = unit(network, "res4", 16)(IMAGES)
    for view in (unit(network, "res4", 16), unit(torch.compile(network, backend="eager"), "res4", 16)):
        graphs = []
        compiled = torch.compile(view, backend=lambda graph, _, graphs=graphs: graphs.append(graph) or graph.forward)
        for _ in range(3):
            torch.testing.assert_close(compiled(IMAGES), wanted)
        assert len(graphs) == 1
    network.compile(backend="eager")
    torch.testing.assert_close(unit(network, "res4", 16)(IMAGES), wanted)
    network = lively(TinyResNet).eval()
    network.layer3 = torch.compile(network.layer3, backend="eager")
    torch.testing.assert_close(unit(network, "layer3")(IMAGES), wanted)


def gradients_of_a_wrapped_backbone(rank):
    """Return a digest of the gradients of a backbone that DDP alone wraps, for images of a rank's own."""
    torch.manual_seed(0)
    network = TinyResNet()
    network.layer4.requires_grad_(False)  # no part of the map
    plain = copy.deepcopy(network)
    images = [torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    wrapped = nn.parallel.DistributedDataParallel(network)
    TrainedViews("res4").maps(wrapped, images[rank]).square().sum().backward()
    sum(TrainedViews("res4").maps(plain, each).square().sum() for each in images).backward()
    pairs = zip(network.parameters(), plain.parameters(), strict=True)
    return all(
        torch.allclose(mine.grad, own.grad / 2, rtol=1e-3, atol=1e-4) for mine, own in pairs if own.grad is not None
    )


@pytest.mark.slow
def test_ddp_around_a_backbone_alone_sums_its_gradients(tmp_path):
    assert on_ranks(2, tmp_path, gradients_of_a_wrapped_backbone) == [True, True]
