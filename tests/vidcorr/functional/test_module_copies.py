"""Copies of networks of any make compute what the network computes in eval mode, and leave it as it was."""

import functools
import threading
import types
import warnings

import pytest
import torch
from torch import nn
from torch.ao.quantization import fuse_modules_qat
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from tests.helpers.foreign import enliven
from tests.helpers.refusal import refused
from vidcorr import build_feature_extractor
from vidcorr.backbones import weights_digest
from vidcorr.functional.device import device_of, on_device, shared_copy
from vidcorr.functional.module_copies import copied_over

IMAGES = torch.rand(1, 3, 256, 320)


def plain() -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    enliven(network)
    return network


class Around(nn.Module):
    """A network of the user's around another."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, images):
        return self.net(images)


class Hooked(Around):
    """Gives the output of a layer, which a lambda keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.net[1].register_forward_hook(lambda module, inputs, output: setattr(self, "kept", output.detach()))

    def forward(self, images):
        return self.net(images) * 0 + self.kept


class HookedIntoList(Hooked):
    """A hook with a list of the module's and a default argument."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs = []
        outputs = self.outputs
        self.net[1].register_forward_hook(lambda module, inputs, output, kept=self.outputs: kept.append(output))
        self.net[2].register_forward_hook(lambda module, inputs, output: outputs.append(output))

    def forward(self, images):
        self.outputs.clear()
        self.net(images)
        normalised, activated = self.outputs
        return normalised + activated


class Keeping(Around):
    """Keeps its last map, with the graph."""

    def forward(self, images):
        self.last = self.net(images)
        return self.last


class BoundHook(Keeping):
    """Gives the output of a layer, which a method keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.net[1].register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.kept = output

    def forward(self, images):
        self.net(images)
        return self.kept


class Attributed(Around):
    """Holds things that cannot be copied, directly and in containers."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.held = {"module": torch, "steps": iter(range(9)), "rest": [threading.Lock(), torch.Generator()]}


def with_forward(make):
    network = plain()
    network.forward = make(network)
    return network


def first_replaced(change):
    network = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against its older functions
        network[0] = change(network[0])
    return network


NETWORKS = {
    "plain": plain,
    "hook with a lambda": Hooked,
    "hooks with a list": HookedIntoList,
    "hook with a method": BoundHook,
    "kept activation": Keeping,
    "locks and iterators": Attributed,
    "forward is a lambda": lambda: with_forward(lambda net: lambda images: net[1](net[0](images))),
    "forward is a partial": lambda: with_forward(lambda net: functools.partial(nn.Sequential.forward, net)),
    "forward is a method": lambda: with_forward(lambda net: types.MethodType(lambda self, x: self[1](self[0](x)), net)),
    "weight_norm": lambda: first_replaced(weight_norm),
    "spectral_norm": lambda: first_replaced(spectral_norm),
    "parametrised weight_norm": lambda: first_replaced(parametrizations.weight_norm),
    "parametrised spectral_norm": lambda: first_replaced(parametrizations.spectral_norm),
    "pruned": lambda: first_replaced(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "fused for quantisation": lambda: fuse_modules_qat(plain().train(), [["0", "1", "2"]]),
    "average of weights": lambda: AveragedModel(plain()),
    "DataParallel": lambda: nn.DataParallel(plain()),
    "traced by fx": lambda: torch.fx.symbolic_trace(plain()),
    "script": lambda: torch.jit.script(plain()),
    "channels last": lambda: plain().to(memory_format=torch.channels_last),
}


def state(network):
    return [part.training for part in network.modules()], {
        name: tensor.clone() for name, tensor in network.state_dict().items()
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_a_view_of_a_network_in_training_computes_as_the_network_in_eval_mode(name):
    network = NETWORKS[name]().train()
    network(torch.rand(2, 3, 64, 64)).sum().backward()  # the pass of training leaves its traces
    modes, before = state(network)
    found = build_feature_extractor(network)(IMAGES)
    again = build_feature_extractor(network)(IMAGES.flip(-1))
    later, after = state(network)
    assert later == modes
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key]), key
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(found, network(IMAGES))
        torch.testing.assert_close(again, network(IMAGES.flip(-1)))
    network.train()
    network(torch.rand(2, 3, 64, 64)).sum().backward()


def test_a_copy_shares_its_tensors_and_what_cannot_be_copied():
    network = Attributed()
    copied = shared_copy(network)
    assert copied.net is not network.net
    assert copied.net[0].weight is network.net[0].weight
    assert copied.lock is network.lock
    assert copied.held["rest"][0] is network.held["rest"][0]
    assert copied.held["rest"] is not network.held["rest"]
    own = copied_over(network, {})
    assert own.net[0].weight is not network.net[0].weight
    assert torch.equal(own.net[0].weight, network.net[0].weight)
    assert device_of(on_device(network, "meta")).type == "meta"


def test_a_hook_that_counts_counts_passes_of_copies_too():
    network, passes = plain(), []
    network.register_forward_hook(lambda *_: passes.append(1))
    shared_copy(network)(IMAGES)
    assert passes == [1]


GLOBAL = plain()


def test_networks_that_a_function_names_compute_in_eval_mode():
    """A lambda of a notebook finds its network among the global variables."""
    GLOBAL.train()
    around = nn.Identity()
    around.forward = lambda images: GLOBAL(images)
    before = weights_digest(GLOBAL)
    build_feature_extractor(around)
    assert GLOBAL.training
    assert weights_digest(GLOBAL) == before


@pytest.mark.parametrize("stride", [None, 8])
def test_lazy_layers_are_refused_in_a_line_until_they_have_weights(stride):
    network = nn.Sequential(nn.LazyConv2d(4, 8, 8), nn.LazyBatchNorm2d())
    if stride:
        network.stride = stride
    message = "Sequential: its lazy layers have no weights yet: call the network on an image first"
    refused(ValueError, message, build_feature_extractor, network)
    refused(ValueError, message, weights_digest, network)
    network(torch.rand(1, 3, 64, 64))
    assert build_feature_extractor(network)(IMAGES).shape == (1, 4, 32, 40)


@pytest.mark.parametrize(
    "buffer",
    [
        torch.eye(3).to_sparse(),
        torch.ones(3, dtype=torch.complex64).conj(),
        torch.full((3,), 1 + 1j).conj().imag,
        torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8),
    ],
)
def test_buffers_of_any_layout_are_digested(buffer):
    digests = []
    for values in (buffer, buffer, buffer.dequantize() + 1 if buffer.is_quantized else buffer + buffer):
        network = nn.Module()
        network.register_buffer("kept", values)
        digests.append(weights_digest(network))
    assert digests[0] == digests[1] != digests[2]


def test_a_network_without_values_is_told():
    network = nn.Conv2d(3, 4, 8, device="meta")
    refused(ValueError, "lies on the meta device, without values: load its weights first", weights_digest, network)
