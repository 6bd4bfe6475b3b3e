"""Tensors over ranks, by one process that plays several."""

import pytest
import torch
import torch.distributed as dist

from lightning_modules.components import distributed
from lightning_modules.components.distributed import gather, own_rows, world_size_and_rank


def test_a_process_alone_is_rank_0_of_1() -> None:
    assert world_size_and_rank() == (1, 0)
    tensor = torch.rand(3, 2)
    assert gather(tensor) is tensor
    assert own_rows(tensor, 3) is not None
    assert torch.equal(own_rows(tensor, 3), tensor)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_parts_come_in_the_order_of_the_ranks(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    parts = [torch.full((2, 4), float(number)) for number in range(3)]

    def all_gather(into: list[torch.Tensor], own: torch.Tensor) -> None:
        assert own.is_contiguous()
        assert torch.equal(own, parts[rank])
        for place, part in zip(into, parts, strict=True):
            place.copy_(part)

    monkeypatch.setattr(distributed, "world_size_and_rank", lambda: (3, rank))
    monkeypatch.setattr(dist, "all_gather", all_gather)
    gathered = gather(parts[rank].T.contiguous().T)
    assert gathered[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(own_rows(gathered, 2), parts[rank])
