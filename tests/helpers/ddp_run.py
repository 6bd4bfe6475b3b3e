"""Two Lightning processes on the CPU; on one, a benchmark fails in the first epoch of `fit` and in `validate`.

python tests/helpers/ddp_run.py DAVIS_ROOT FOLDER
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.utils.data import DataLoader

from callbacks import BenchmarkCallback, BestCheckpoint
from lightning_modules import VFSSimSiam
from tests.helpers.benchmark_ranks import FailsOnLast, bits
from tests.helpers.training import TINY, quiet_trainer
from vidcorr import BenchmarkError


class Failing(FailsOnLast):
    """The last rank fails on its sequences while `BROKEN` is set."""

    def act(self, sequence):
        if BROKEN:
            super().act(sequence)


class BreaksIt(BenchmarkCallback):
    """The benchmark fails in the first epoch and in `validate`."""

    def on_validation_epoch_end(self, trainer, pl_module):
        BROKEN[:] = [True] if trainer.state.fn == "validate" or trainer.current_epoch == 0 else []
        super().on_validation_epoch_end(trainer, pl_module)


BROKEN: list[bool] = []


def main(root: str, folder: str) -> None:
    torch.set_num_threads(1)
    benchmark = BreaksIt(Failing(root, changes={"radius": 3, "context": 2}, stage="res4", stride=8))
    ranks = {"strategy": "ddp", "devices": 2, "default_root_dir": folder, "enable_checkpointing": True}
    once = {"max_epochs": 2, "num_sanity_val_steps": 0}
    trainer = quiet_trainer(callbacks=[benchmark, BestCheckpoint(dirpath=folder)], **ranks, **once)
    torch.manual_seed(1)
    loader = DataLoader([{"clip": torch.rand(2, 3, 32, 32)} for _ in range(8)], batch_size=2)
    module = VFSSimSiam(**TINY)
    empty = DataLoader([{}], batch_size=None)
    trainer.fit(module, loader, empty)
    outcome = {"history": {step: bits(scores) for step, scores in benchmark.history.items()}}
    try:
        trainer.validate(module, empty, verbose=False)
    except BenchmarkError as error:
        outcome["error"] = str(error)
    outcome["checkpoints"] = sorted(path.name for path in Path(folder).glob("*.ckpt"))
    Path(folder, f"rank{trainer.global_rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
