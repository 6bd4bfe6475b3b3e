"""Copies of modules over shared tensors."""

import threading

import pytest
import torch
from torch import nn

from tests.helpers.encoders import Smoothed
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent, load, weights_digest
from vidcorr.backbones.copies import module_copy


def test_what_cannot_be_copied_is_refused_in_one_sentence():
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8))
    network.lock = threading.Lock()
    line = "Sequential: holds what copy.deepcopy cannot copy: .*lock"
    refused(ValueError, line, module_copy, network, shares_tensors=True)


@pytest.mark.parametrize("bound", [False, True])
def test_networks_of_video_encoders_are_their_modules(bound):
    network = Smoothed()
    encoder = Recurrent(network.step) if bound else Clips(network, window=2, tubelet=1)
    assert weights_digest(encoder) == weights_digest(network)
    assert network in load(encoder).modules()  # not a copy, so that a Trainer moves it


def test_hooks_are_shared_also_those_that_cannot_be_copied():
    """PyTorch's profiler sets such hooks."""

    class Profiler:
        def __init__(self):
            self.lock = threading.Lock()
            self.called = []

        def note(self, *_):
            self.called.append(1)

    network = nn.Sequential(nn.Linear(3, 4))
    profiler = Profiler()
    network[0].register_forward_hook(profiler.note)
    network.register_forward_pre_hook(profiler.note)
    module_copy(network, shares_tensors=True)(torch.ones(1, 3))
    assert len(profiler.called) == 2
