"""Sharing out, and leaving together."""

import multiprocessing

import pytest
import torch.distributed as dist

from callbacks.ranks import BenchmarkError, Ranks, share_out


def test_every_sequence_goes_to_one_rank_and_the_ranks_are_even():
    lengths = [50, 90, 40, 104, 90, 60, 50, 99]
    for size in (1, 2, 3, 8, 11):
        shares = share_out(lengths, size)
        assert len(shares) == size
        assert sorted(number for share in shares for number in share) == list(range(8))
        frames = [sum(lengths[number] for number in share) for share in shares]
        assert max(frames) - min(frames) <= max(lengths)
    assert share_out([], 2) == [[], []]


def test_one_rank_needs_no_process_group():
    ranks = Ranks()
    assert (ranks.rank, ranks.size) == (0, 1)
    assert ranks.gather("x") == ["x"]
    with pytest.raises(KeyError), ranks.together():
        raise KeyError("its own error")


def fail_on_the_last(rank: int, size: int, store: str, queue) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    ranks = Ranks()
    try:
        with ranks.together():
            if rank == size - 1:
                raise ValueError("bad sequence")
    except BenchmarkError as error:
        queue.put((rank, str(error)))
    gathered = ranks.gather(rank)
    queue.put((rank, gathered))
    ranks.close()
    dist.destroy_process_group()


def test_all_ranks_leave_with_the_message_of_the_one_that_failed(tmp_path):
    context = multiprocessing.get_context("fork")
    queue, store = context.Queue(), str(tmp_path / "store")
    workers = [context.Process(target=fail_on_the_last, args=(rank, 2, store, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    messages = [queue.get(timeout=60) for _ in range(4)]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    for rank in range(2):
        assert (rank, "rank 1 of 2: ValueError: bad sequence") in messages
        assert (rank, [0, 1]) in messages
