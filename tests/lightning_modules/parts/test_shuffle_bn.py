"""BatchNorm by groups equals passes apart; Shuffle BN: who is mixed with whom, and the shuffle of two processes."""

import copy
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from tests.helpers.ranks import on_ranks
from tests.helpers.training import tiny_moco
from vidcorr.lightning_modules.parts.heads import mlp
from vidcorr.lightning_modules.parts.shuffle_bn import batch_norm_groups, encode_shuffled


@pytest.mark.parametrize("groups", [2, 4])
def test_equals_passes_of_each_group_in_outputs_gradients_and_statistics(groups):
    images = torch.randn(8, 3, 16, 16).double()
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), BatchNormAct2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    one = nn.Sequential(*layers, mlp(8, 16, 4, norm=True, norm_last=True)).double().train()
    other = copy.deepcopy(one)
    with batch_norm_groups(one, groups):
        outputs = one(images)
    expected = torch.cat([other(part) for part in images.chunk(groups)])
    torch.testing.assert_close(outputs, expected)
    for output in (outputs, expected):
        output.square().mul(torch.linspace(0, 1, 32).view(8, 4)).sum().backward()
    torch.testing.assert_close(*([p.grad for p in network.parameters()] for network in (one, other)))
    torch.testing.assert_close(one.state_dict(), other.state_dict())
    assert not any(vars(norm).keys() & {"forward", "batch_groups"} for norm in one.modules())


def test_a_rank_is_a_group(monkeypatch):
    monkeypatch.setattr("vidcorr.lightning_modules.vfs_moco.world_size_and_rank", lambda: (2, 0))
    assert tiny_moco().groups(8) == 1


def shuffled(rank, groups, videos):
    """Return the videos that an encoder sees in order on this rank, and what `encode_shuffled` gives if it copies."""
    frames = torch.arange(rank * videos, (rank + 1) * videos).view(-1, 1, 1, 1, 1).repeat(1, 2, 1, 1, 1)
    encode = Mock(side_effect=lambda frames: frames.flatten(2))
    result = encode_shuffled(frames, groups, torch.Generator().manual_seed(0), encode)
    (seen,) = encode.call_args.args
    return seen[:, 0].flatten().tolist(), result.flatten(1).tolist()


@pytest.mark.parametrize(("ranks", "groups", "videos"), [(1, 5, 10), pytest.param(2, 3, 6, marks=pytest.mark.slow)])
def test_shuffle_is_undone_and_changes_the_company(tmp_path, ranks, groups, videos):
    results = on_ranks(ranks, tmp_path, shuffled, groups, videos) if ranks > 1 else [shuffled(0, groups, videos)]
    for seen, result in results:
        assert result == [[video, video] for video in range(ranks * videos)]
        for company in np.reshape(seen, (groups, -1)):
            assert len({video // 2 for video in company}) == 2  # of two groups
