"""The plan that is printed before training, and what is set up for a run: accumulation, memory, ranks."""

import subprocess
import sys
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_modules import distributed, freed_memory
from lightning_modules.base import CorrespondenceModule, SampleMean, keyed_generator
from lightning_modules.distributed import gather, own_rows
from tests.helpers.contrast import Clips, loader, quiet_trainer
from tests.helpers.liir import tiny as tiny_liir


class Look(pl.Callback):
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.plan = pl_module.plan()


@pytest.mark.slow
def test_plan_tells_of_negatives_that_join_before_the_average_has_followed() -> None:
    look = Look()
    module = tiny_liir(warmup_epochs=2, warmup_accumulation=2, encoder_momentum=0.8)
    quiet_trainer(max_epochs=9, callbacks=[look]).fit(module, DataLoader(Clips(8, 2, 16), batch_size=2))
    expected = "average with m = 0.8; 41% of it is still its start when negatives join after 4 steps"
    assert look.plan["momentum encoder"] == f"{expected}: lower encoder_momentum"
    assert look.plan["length"] == "9 epochs"
    assert look.plan["phases"] == "2 epochs within videos, then all; 4 batches an epoch"
    assert look.plan["negatives"] == "12 points of 6 frames, from epoch 2 on"


class GroupNorms(CorrespondenceModule):
    """A user's method with words of ours for things of its own."""

    warming_up = True

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(groups, 8))

    def step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {"loss": self.backbone(batch["clip"].flatten(0, 1)).mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_method_of_a_users_own_has_the_rows_of_every_method() -> None:
    look = Look()
    quiet_trainer(max_epochs=1, callbacks=[look]).fit(GroupNorms(2), loader(videos=8, batch_size=8))
    rows = ["method", "backbone", "global batch", "learning rate", "length", "BatchNorm", "precision"]
    assert list(look.plan) == rows
    assert look.plan["BatchNorm"] == "none"
    assert look.plan["length"] == "1 steps in 1 epochs"


@pytest.mark.slow
def test_liir_accumulates_by_the_phase_of_each_batch() -> None:
    seen: list[int] = []

    class Count(pl.Callback):
        def on_before_zero_grad(self, trainer: pl.Trainer, *args: Any) -> None:
            seen.append(trainer.accumulate_grad_batches)

    module, data = tiny_liir(warmup_epochs=1, warmup_accumulation=2), DataLoader(Clips(8, 2, 16), batch_size=2)
    trainer = quiet_trainer(max_epochs=2, callbacks=[Count()])
    trainer.fit(module, data)
    assert seen == [2, 2, 1, 1, 1, 1]
    assert trainer.accumulate_grad_batches == 1
    with pytest.raises(ValueError, match=r"leave it out, Liir has model\.warmup_accumulation"):
        quiet_trainer(max_epochs=1, accumulate_grad_batches=2).fit(tiny_liir(), data)


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


def test_batches_count_by_their_samples_whatever_the_mode() -> None:
    mean = SampleMean()
    with torch.inference_mode():
        mean.update(torch.tensor(1.0), 4)
        mean.update(torch.tensor(4.0), 2)
        assert mean.compute() == 2
        mean.reset()
    mean.update(torch.tensor(3.0), 1)
    mean.update(torch.tensor(5.0), 3)
    assert mean.compute() == 4.5
    assert not mean.state_dict()


def test_a_key_has_one_stream_of_its_own() -> None:
    keys = [(0,), (1,), (0, 0, 3), (0, 0, 4), (0, 3, 0)]
    first, again = ([torch.rand(4, generator=keyed_generator(*key)) for key in keys] for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert len({tuple(draws.tolist()) for draws in first}) == len(keys)
    assert keyed_generator(0, 1, 2).initial_seed() == 2187946392326065592  # published runs drew by these


PAGES_OF_THREE_BLOCKS = """
import ctypes, resource, runpy, sys
module = runpy.run_path(sys.argv[1])
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        block = libc.malloc(100 << 20)
        ctypes.memset(block, 1, 100 << 20)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = [pages(), module["keep_freed_memory"](), pages(), pages()]
module["hand_back_freed_memory"]()
print(*found, pages())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's switch")
def test_pages_are_fetched_once(monkeypatch):
    for name in freed_memory.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-c", PAGES_OF_THREE_BLOCKS, freed_memory.__file__]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    before, kept, _, later, after = output.split()
    if kept != "True":
        pytest.skip("a C library without mallopt")
    assert int(later) < 0.1 * int(before)
    assert int(after) > 0.5 * int(before)
