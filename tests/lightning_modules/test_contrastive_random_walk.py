"""CRW: nodes and encoder against the golden ones, its draws, its rate, its extractor, and that it learns."""

from copy import deepcopy
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.golden_steps import rates_of
from tests.helpers.refusal import refused
from vidcorr.backbones import TrainedViews, crw_training_resnet18
from vidcorr.functional import contrastive_random_walk_loss
from vidcorr.functional.losses import draw_dropped_edges
from vidcorr.lightning_modules import ContrastiveRandomWalk

TINY = {"backbone": "tests.helpers.encoders:TinyResNet", "patch_size": 16, "patch_stride": 8}


@pytest.mark.parametrize("area", [(0, 0), (-1, 0.5), (0.9, 0.7), (0.7, float("nan")), (float("nan"), 0.9)])
def test_an_area_of_patches_is_two_rising_fractions(area):
    refused(ValueError, "patch_area must be in .0, 1.", ContrastiveRandomWalk, **TINY, patch_area=area)


@pytest.mark.parametrize(("case", "kind"), [("n0", "patches"), ("n1", "cells")])
def test_nodes_and_their_gradients_are_the_golden_ones(golden, case, kind):
    numbers = {name: torch.from_numpy(array) for name, array in golden("crw_loss").items() if name.startswith(case)}
    module = ContrastiveRandomWalk(**TINY, nodes=kind)
    module.head = nn.Linear(12, 128)
    module.head.load_state_dict({"weight": numbers[f"{case}_weight"], "bias": numbers[f"{case}_bias"]})
    batch, patches, temperature = numbers[f"{case}_params"].tolist()
    maps = numbers[f"{case}_maps"].clone().requires_grad_()  # (B · N, C, T, h, w)
    ours = maps.unflatten(0, (int(batch), int(patches))).permute(0, 3, 1, 2, 4, 5).flatten(0, 2)
    nodes = module.nodes_of(ours, int(batch), maps.shape[2])
    torch.testing.assert_close(nodes, numbers[f"{case}_q"], rtol=0, atol=1e-5)
    loss = contrastive_random_walk_loss(nodes, temperature)
    loss.backward()
    assert loss.item() == pytest.approx(numbers[f"{case}_loss"].item(), abs=1e-5)
    for tensor, name in ((maps, "maps"), (module.head.weight, "weight"), (module.head.bias, "bias")):
        torch.testing.assert_close(tensor.grad, numbers[f"{case}_grad_{name}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_encoder_is_the_golden_one(golden):
    numbers, network = golden("crw_loss"), crw_training_resnet18()
    for name, tensor in network.state_dict().items():
        u = np.random.RandomState(crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if name.endswith(".running_var"):
            u = 1 + 0.1 * abs(u)
        elif name.endswith(".weight"):
            u = u * np.sqrt(2 / (len(tensor) * tensor[0, 0].numel())) if tensor.ndim == 4 else 1 + 0.1 * u
        else:
            u = 0.1 * u
        tensor.copy_(torch.as_tensor(u))
    x = np.random.RandomState(int(numbers["enc_seed"])).standard_normal((2, 3, 1, 64, 64)).astype(np.float32)
    images = torch.from_numpy(x)[:, :, 0]
    maps = TrainedViews().maps(network.eval(), images)
    pooled = network.train()(images)
    np.testing.assert_allclose(maps[:, ::8], numbers["enc_eval_c8"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(maps.mean((2, 3)), numbers["enc_eval_pooled"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(pooled, numbers["enc_train_pooled"], rtol=0, atol=1e-3)


def test_patches_are_cropped_and_edges_dropped_in_training_only():
    module, clip = ContrastiveRandomWalk(**TINY).eval(), torch.rand(2, 4, 3, 32, 32)
    cifar = torch.tensor([[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]])
    assert torch.equal(torch.stack([module.normalise.mean, module.normalise.std]).flatten(1), cifar)
    assert module(clip).shape == (2, 128, 4, 9)
    still = module.patches(clip.flatten(0, 1))
    moved = module.train().patches(clip.flatten(0, 1))
    assert moved.shape == still.shape == (2 * 4 * 9, 3, 16, 16)
    assert (moved - still).abs().flatten(1).amax(1).min() > 0.01
    again = ContrastiveRandomWalk(**TINY).patches(clip.flatten(0, 1))
    assert torch.equal(again, moved)  # draws are a function of seed, epoch and batch
    assert not torch.equal(module.patches(clip.flatten(0, 1)), moved)
    cells = ContrastiveRandomWalk(**TINY, nodes="cells", edge_dropout=0.5)
    clip = clip.repeat(1, 1, 1, 2, 2)
    for training in (True, False):
        nodes = cells.train(training)(clip)
        dropped = draw_dropped_edges(nodes, 0.5, deepcopy(cells).generator(0, 1)) if training else None
        loss = contrastive_random_walk_loss(nodes, 0.05, dropped)
        expected = {"loss": loss, "embeddings": nodes.detach().permute(0, 2, 3, 1).reshape(-1, 128)}
        torch.testing.assert_close(cells.step({"clip": clip}), expected)


def test_the_rate_falls_after_20_30_and_40_epochs():
    module = ContrastiveRandomWalk(**TINY)
    module.steps_per_epoch = lambda: 2
    np.testing.assert_allclose(rates_of(module, 84), 1e-4 * 0.3 ** np.repeat([0, 1, 2, 3], [40, 20, 20, 4]))
