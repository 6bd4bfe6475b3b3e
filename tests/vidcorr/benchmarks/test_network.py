"""The forms of a network that a benchmark takes."""

import re

import pytest
import torchvision
from torch import nn

from tests.helpers.refusal import refused
from vidcorr.benchmarks.network import NetworkSpec


@pytest.mark.parametrize(
    ("network", "got"),
    [
        (nn.Identity, "got Identity itself: give what Identity() returns"),
        (torchvision.models.resnet18, "got resnet18 itself: give what resnet18() returns"),
        (None, "got an object of type NoneType"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(network, got):
    line = f"network: expected a module, a checkpoint or a name, {got}"
    refused(TypeError, re.escape(line), NetworkSpec.of, network)
