"""Two Lightning processes on the CPU; on one, a benchmark fails in the first epoch of `fit` and in `validate`.

python tests/helpers/ddp_run.py DAVIS_ROOT FOLDER
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import BenchmarkError, BestCheckpoint, DavisBenchmark
from lightning_modules import VFSSimSiam
from tests.helpers.benchmark_ranks import bits

TINY = {"backbone": "tests.helpers.encoders:TinyResNet", "projector_dim": 16, "predictor_dim": 8}


class Failing(DavisBenchmark):
    """The last rank fails on its sequences while `broken` holds."""

    broken = True

    def on_validation_epoch_end(self, trainer, pl_module):
        self.rank = trainer.global_rank
        self.broken = trainer.state.fn == "validate" or trainer.current_epoch == 0
        super().on_validation_epoch_end(trainer, pl_module)

    def start(self, extractor, run):
        evaluation = super().start(extractor, run)
        follow = evaluation.follow

        def fail(sequence):
            if self.broken and self.rank == 1:
                raise ValueError(f"{sequence.name}: broken")
            follow(sequence)

        evaluation.follow = fail
        return evaluation


def main(root: str, folder: str) -> None:
    torch.set_num_threads(1)
    benchmark = Failing(root, changes={"radius": 3, "context": 2}, stage="res4", stride=8)
    best = BestCheckpoint(dirpath=folder)
    trainer = pl.Trainer(
        default_root_dir=folder,
        callbacks=[benchmark, best],
        accelerator="cpu",
        strategy="ddp",
        devices=2,
        max_epochs=2,
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
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
