"""Networks of somebody's making, of any type and with any output: scored as in plain torch, or refused in a line."""

import copy

import pytest
import torch
from torch import nn

from tests.helpers.plain_davis import plain_davis
from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, MaskPrompt, follow


def plain(width=16):
    return nn.Sequential(nn.Conv2d(3, width, 8, 8), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1))


@pytest.fixture(scope="module")
def benchmark(davis_root):
    return DavisBenchmark(davis_root, changes={"radius": 3, "context": 2}, limit_sequences=1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_computes_in_the_type_of_its_weights(dtype, benchmark, davis_root):
    network = plain().to(dtype)
    trunk = copy.deepcopy(network).eval()
    score = benchmark.evaluate(network).scores["J&F-Mean"]
    expected = plain_davis(davis_root, lambda images: trunk(images.to(dtype)).float(), 3, 2, 1)
    assert score == pytest.approx(expected, abs=1e-3 if dtype is torch.float64 else 2e-2)


WRONG = {
    "tokens": (lambda x: x.flatten(2).mT, r"expected a map \(N, C, h, w\), got \(1, 48, 8\)"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), "8 x 8 cells for a 48 x 64 image are not those of stride 8"),
    "two maps": (lambda x: [x, x], "got list: leave pooling"),
}
FRAMES = torch.zeros(3, 3, 48, 64, dtype=torch.uint8)
PROMPT = MaskPrompt.of(torch.ones(48, 64, dtype=torch.uint8).numpy())


@pytest.mark.parametrize("name", WRONG)
def test_anything_but_the_map_of_the_stated_stride_is_refused_at_the_first_frame(name):
    change, message = WRONG[name]
    network = nn.Sequential(nn.Conv2d(3, 8, 8, 8))
    network.stride = 8
    network.register_forward_hook(lambda module, images, found: change(found))
    refused(ValueError, message, lambda: list(follow(network, FRAMES, PROMPT)))
