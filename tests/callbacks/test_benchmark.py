"""The callback of a benchmark; with data and files it is tested in tests/vidcorr/benchmarks."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from callbacks import BenchmarkCallback
from lightning_modules import VFSSimSiam
from tests.helpers.stops import Counted
from tests.helpers.training import TINY, Clips, quiet_trainer


@dataclass(frozen=True)
class Noted(Counted):
    """Writes the score of each rank."""

    folder: Path = Path()

    def run(self, network: Any, *args: Any, **options: Any) -> Any:
        found = super().run(network, *args, **options)
        (self.folder / f"rank{dist.get_rank()}").write_text(found.results[0].scores["score"].hex())
        return found


def test_all_ranks_score_the_first_ranks_buffers_after_the_last_step(tmp_path):
    """DDP copies buffers before a forward pass; after the last step there is none."""
    torch.set_num_threads(1)
    callback = BenchmarkCallback(Noted([], tmp_path))
    options = {"strategy": "ddp_fork", "devices": 2, "default_root_dir": tmp_path, "limit_val_batches": 0}
    trainer = quiet_trainer(callbacks=[callback], max_steps=2, **options)
    trainer.fit(VFSSimSiam(**TINY), DataLoader(Clips(8, 2, 32), batch_size=2))
    scores = [(tmp_path / f"rank{rank}").read_text() for rank in range(2)]
    assert scores[0] == scores[1]


def test_ranks_are_not_advised_to_average_equal_scores(tmp_path):
    callback = BenchmarkCallback(Counted([]))
    trainer = quiet_trainer(callbacks=[callback], default_root_dir=tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        callback.setup(trainer, VFSSimSiam(**TINY), "validate")
        for name in (f"{callback.name}/score", "own/score"):
            warnings.warn(f"It is recommended to use `self.log({name!r}, ..., sync_dist=True)`", stacklevel=1)
    assert ["own/score" in str(each.message) for each in told] == [True]
