"""BatchNorm by groups equals passes apart; Shuffle BN: who is mixed with whom, and the exchange of two processes."""

import copy
import json
from functools import partial

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from lightning_modules.parts.heads import mlp
from lightning_modules.parts.shuffle_bn import _exchange, batch_norm_groups, deal_videos, encode_shuffled
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.training import tiny_moco


def test_equals_passes_of_each_group_in_outputs_gradients_and_statistics():
    images = torch.randn(8, 3, 16, 16).double()
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), BatchNormAct2d(8), mlp(8, 16, 4, norm=True, norm_last=True)]
    one = nn.Sequential(*layers).double().train()
    other = copy.deepcopy(one)
    with batch_norm_groups(one, 4):
        outputs = one(images)
    expected = torch.cat([other(part) for part in images.chunk(4)])
    torch.testing.assert_close(outputs, expected)
    for output in (outputs, expected):
        output.square().mul(torch.linspace(0, 1, 32).view(8, 4)).sum().backward()
    torch.testing.assert_close(*([p.grad for p in network.parameters()] for network in (one, other)))
    torch.testing.assert_close(one.state_dict(), other.state_dict())
    assert not any(vars(norm).keys() & {"forward", "batch_groups"} for norm in one.modules())


def test_heads_are_linear_layers_with_norms_where_they_are_asked_for():
    def layers(**norms):
        return [str(layer).partition(",")[0] for layer in mlp(4, 8, 6, **norms)]

    first, relu, last = "Linear(in_features=4", "ReLU(inplace=True)", "Linear(in_features=8"
    assert layers(norm=True) == [first, "BatchNorm1d(8", relu, last]
    assert layers(norm_last=True) == [first, relu, last, "BatchNorm1d(6"]


def test_groups_are_chosen_so_that_two_videos_remain_in_each(monkeypatch):
    assert [tiny_moco().groups(videos) for videos in (1, 2, 3, 4, 6, 8, 10, 12)] == [1, 1, 1, 2, 2, 4, 2, 4]
    assert tiny_moco(groups=4).groups(8) == 4
    refused(ValueError, "model.groups is 0", tiny_moco(groups=0).groups, 8)
    monkeypatch.setattr("lightning_modules.vfs_moco.world_size_and_rank", lambda: (2, 0))
    assert tiny_moco().groups(8) == 1  # a rank is a group


def test_each_rank_receives_the_videos_that_it_is_dealt(monkeypatch):
    """The exchange itself between two processes: the slow case below."""
    sent = {}

    def all_to_all(received, rows, output_split_sizes, input_split_sizes):
        sent[rank] = rows.split(input_split_sizes)
        if len(sent) == 3:
            parts = [sent[source][rank] for source in range(3)]
            assert [len(part) for part in parts] == output_split_sizes
            received.copy_(torch.cat(parts))

    monkeypatch.setattr("lightning_modules.parts.shuffle_bn.dist.all_to_all_single", all_to_all)
    deal = deal_videos(3, 2, torch.Generator().manual_seed(1))
    for rank in (0, 1, 2, 0, 1):  # the first two only send
        received = _exchange(torch.arange(2 * rank, 2 * rank + 2).view(2, 1, 1, 1, 1), deal, rank)
        assert len(sent) < 3 or torch.equal(received.flatten(), deal[rank])


class Company(nn.BatchNorm2d):
    """An "encoder" whose output for a frame is the set of videos normalised together, as a sum of powers of two.

    A frame of video v has 2^v in its first number.
    """

    def forward(self, images):
        return images.flatten(1)[:, :1].unique().sum().expand(len(images), 1)


def shuffled(rank, groups, videos):
    """Return what `encode_shuffled` gives on this rank for an encoder that copies, and for `Company`, in turns."""
    numbers = torch.arange(videos, dtype=torch.float64) + rank * videos
    frames = (2**numbers).view(-1, 1, 1, 1, 1).repeat(1, 2, 1, 1, 1)  # two frames a video

    def by_groups(encoder, frames):
        with batch_norm_groups(encoder, groups):
            return encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def result(step, encoder):
        generator = torch.Generator().manual_seed(step)
        return encode_shuffled(frames, groups, generator, partial(by_groups, encoder)).flatten(1).tolist()

    return [result(step, encoder) for step in range(5) for encoder in (nn.Flatten(), Company(3))]


@pytest.mark.parametrize(("ranks", "groups", "videos"), [(1, 5, 10), pytest.param(2, 3, 6, marks=pytest.mark.slow)])
def test_shuffle_is_undone_and_changes_the_company(tmp_path, ranks, groups, videos):
    results = on_ranks(ranks, tmp_path, shuffled, groups, videos) if ranks > 1 else [shuffled(0, groups, videos)]
    assert all(result == results[0] for result in results)
    in_order = [[2.0**video] * 2 for video in range(ranks * videos)]
    for copies, companies in zip(results[0][::2], results[0][1::2], strict=True):
        assert copies == in_order
        size = videos // groups
        for video, (first, second) in enumerate(companies):
            assert first == second
            own = set(range(video // size * size, (video // size + 1) * size))
            mixed = {v for v in range(ranks * videos) if int(first) >> v & 1}
            assert video in mixed
            assert len(mixed) == size
            assert len(own & mixed) <= -(-size // (ranks * groups))
    assert len({json.dumps(companies) for companies in results[0][1::2]}) > 1
