"""Copies of modules over shared tensors, on other devices too."""

import threading

import pytest
import torch
from torch import nn

from tests.helpers.encoders import Smoothed
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent, load, weights_digest
from vidcorr.backbones.copies import device_of, on_device, shared_copy

IMAGES = torch.rand(1, 3, 64, 64)
META = torch.device("meta")


def test_what_cannot_be_copied_is_refused_in_one_sentence():
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8))
    network.lock = threading.Lock()
    refused(ValueError, "Sequential: holds what copy.deepcopy cannot copy: .*lock", shared_copy, network)
    del network.lock
    network[0].register_forward_hook(lambda module, inputs, output: setattr(network, "kept", output))
    refused(ValueError, "Sequential: a function in an attribute or hook keeps a module", shared_copy, network)


def test_what_a_hook_writes_into_is_shared_so_that_the_copy_reads_it():
    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.Conv2d(3, 4, 8, 8)
            self.kept = kept = {}
            self.cells.register_forward_hook(lambda module, inputs, output: kept.update(last=output))

        def forward(self, images):
            self.cells(images)
            return self.kept["last"]

    network = Hooked()
    assert torch.equal(shared_copy(network)(IMAGES), network(IMAGES))
    assert on_device(network, META)(IMAGES.to(META)).device == META


def test_an_activation_that_a_network_keeps_is_copied_without_its_graph():
    network = nn.Linear(3, 4)
    network.kept = network(torch.ones(1, 3))
    copied = shared_copy(network)
    assert torch.equal(copied.kept, network.kept)
    assert (copied.kept is network.kept, copied.kept.requires_grad) == (False, False)
    assert copied.weight is network.weight


def devices(module):
    return {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}


@pytest.mark.parametrize("bound", [False, True])
def test_networks_of_video_encoders_are_their_modules(bound):
    network = Smoothed()
    encoder = Recurrent(network.step) if bound else Clips(network, window=2, tubelet=1)
    moved = on_device(encoder, META)
    assert type(moved) is type(encoder)
    assert device_of(moved.step.__self__ if bound else moved.net) == META
    assert weights_digest(encoder) == weights_digest(network)
    assert devices(network) == {"cpu"}
    assert network in load(encoder).modules()  # not a copy, so that a Trainer moves it
