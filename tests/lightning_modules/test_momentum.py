"""Moving average, queue and Shuffle BN, alone and over two processes."""

import json
from collections import deque
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.multiprocessing import start_processes

from lightning_modules.momentum import (
    KeyQueue,
    averaged_copy,
    deal_videos,
    encode_groups,
    encode_shuffled,
    update_average,
)
from tests.helpers.contrast import Tiny, company, shuffle_on_ranks


def test_average_equals_the_closed_form() -> None:
    module = Tiny()
    average = averaged_copy(module)
    start = module.conv.weight.detach().clone()
    weights, m = [], 0.9
    for _ in range(7):
        with torch.no_grad():
            module.conv.weight.add_(torch.randn_like(module.conv.weight))
        weights.append(module.conv.weight.detach().clone())
        update_average(average, module, m)
    expected = m**7 * start + (1 - m) * sum(m ** (6 - i) * weight for i, weight in enumerate(weights))
    torch.testing.assert_close(average.conv.weight, expected, rtol=1e-5, atol=1e-6)


def test_average_takes_no_gradient_and_keeps_its_own_statistics() -> None:
    module = Tiny()
    average = averaged_copy(module)
    module(torch.randn(4, 3, 8, 8))
    update_average(average, module, 0.5)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average.bn.running_mean.abs().max() == 0
    assert module.bn.running_mean.abs().max() > 0


def test_queue_equals_a_plain_loop() -> None:
    queue = KeyQueue(12, 3)
    plain = deque(zip(queue.keys.tolist(), [-1] * 12, strict=True), maxlen=12)
    for step, count in enumerate([4, 4, 4, 4, 5, 12, 1]):
        keys = torch.randn(count, 3)
        ids = torch.arange(count) + 100 * step
        queue.enqueue(keys, ids)
        plain.extend(zip(keys.tolist(), ids.tolist(), strict=True))
        oldest_first = torch.arange(12).add(queue.pointer).remainder(12)
        assert queue.keys[oldest_first].tolist() == [key for key, _ in plain]
        assert queue.video_ids[oldest_first].tolist() == [video for _, video in plain]


def test_queue_is_written_in_place_from_the_pointer_on() -> None:
    queue = KeyQueue(5, 2)
    storage = queue.keys.data_ptr()
    first = queue.keys.clone()
    queue.enqueue(torch.ones(3, 2), torch.tensor([7, 8, 9]))
    queue.enqueue(torch.full((3, 2), 2.0), torch.tensor([4, 5, 6]))
    assert queue.pointer == 1
    assert queue.video_ids.tolist() == [6, 8, 9, 4, 5]
    assert queue.keys[:, 0].tolist() == [2, 1, 1, 2, 2]
    assert queue.keys.data_ptr() == storage
    torch.testing.assert_close(first.norm(dim=1), torch.ones(5))


def test_queue_knows_a_videos_own_keys_and_its_nearest_sizes() -> None:
    queue = KeyQueue(10, 2)
    queue.enqueue(torch.zeros(3, 2), torch.tensor([1, 2, 1]))
    assert queue.own(torch.tensor([1, 3])).nonzero().tolist() == [[0, 0], [0, 2]]
    assert queue.nearest_sizes(5) == []
    assert queue.nearest_sizes(4) == [8, 12]
    assert queue.nearest_sizes(32) == [32]


def test_queue_refuses() -> None:
    with pytest.raises(ValueError, match="at least 1 key"):
        KeyQueue(0, 2)
    with pytest.raises(ValueError, match="cannot take 5 keys"):
        KeyQueue(4, 2).enqueue(torch.zeros(5, 2), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"with \(2,\) video ids"):
        KeyQueue(4, 2).enqueue(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize(("groups", "videos"), [(2, 2), (2, 5), (3, 7), (8, 4), (4, 1), (1, 6)])
def test_deal_is_an_even_permutation(groups: int, videos: int) -> None:
    seen = set()
    for seed in range(20):
        deal = deal_videos(groups, videos, torch.Generator().manual_seed(seed))
        assert sorted(deal.flatten().tolist()) == list(range(groups * videos))
        from_source = torch.stack([(deal // videos == source).sum(dim=1) for source in range(groups)])
        assert from_source.max() <= -(-videos // groups)
        seen.add(tuple(deal.flatten().tolist()))
    assert len(seen) > 1


def test_groups_are_normalised_apart() -> None:
    encoder = Tiny().train()
    frames = torch.rand(6, 2, 3, 8, 8)
    together = encode_groups(encoder, frames, 3)
    apart = torch.cat([encoder(part.flatten(0, 1)) for part in frames.split(2)]).view(6, 2, 8)
    assert torch.equal(together, apart)
    with pytest.raises(ValueError, match=r"4 groups .* batch of 6 videos"):
        encode_groups(encoder, frames, 4)
    with pytest.raises(ValueError, match=r"4 groups .* batch of 6 videos"):
        encode_shuffled(encoder, frames, 4, torch.Generator())


def test_shuffle_is_undone_and_changes_the_company() -> None:
    frames = (2.0 ** torch.arange(12)).view(-1, 1, 1, 1, 1).repeat(1, 2, 1, 1, 1)
    for seed in range(10):
        copy = encode_shuffled(nn.Flatten(), frames, 3, torch.Generator().manual_seed(seed))
        assert torch.equal(copy.flatten(), frames.flatten())
        keys = encode_shuffled(company, frames, 3, torch.Generator().manual_seed(seed))
        queries = encode_groups(company, frames, 3)
        common = [int(a) & int(b) for a, b in zip(keys.flatten(), queries.flatten(), strict=True)]
        # of the 4 videos that a query is normalised with, at most 2 are in its key's company, itself among them
        assert max(number.bit_count() for number in common) <= 2


@pytest.mark.parametrize("groups", [1, 3])
def test_two_ranks(tmp_path: Path, groups: int) -> None:
    videos, ranks = 6, 2
    start_processes(shuffle_on_ranks, (str(tmp_path), ranks, groups, videos), nprocs=ranks, start_method="fork")
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    assert results[0] == results[1]
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
