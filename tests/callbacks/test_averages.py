"""A score is of the weights that a checkpoint holds: averages of weights × ways in which a run ends × order."""

import pytest
import torch
from pytorch_lightning import callbacks as of_lightning
from torch.optim.swa_utils import get_ema_avg_fn

from tests.helpers.faults import differences
from tests.helpers.stops import Counted
from tests.helpers.training import EMPTY, TINY, InMemory, fit_in, quiet_trainer, trainer_in
from vidcorr.callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint
from vidcorr.lightning_modules import VFSSimSiam


class OfEpochs(of_lightning.WeightAveraging):
    """An average that moves at the end of an epoch, after its validation."""

    def __init__(self):
        super().__init__(avg_fn=get_ema_avg_fn(0.3))

    def should_update(self, step_idx=None, epoch_idx=None):
        return epoch_idx is not None


def stop_after_three_steps(trainer, *_):
    trainer.should_stop |= trainer.global_step >= 3


AVERAGES = {
    "none": list,
    "of steps": lambda: [of_lightning.EMAWeightAveraging(decay=0.3)],
    "on the CPU, late": lambda: [of_lightning.EMAWeightAveraging(decay=0.3, device="cpu", update_starting_at_step=1)],
    "of epochs": lambda: [OfEpochs()],
    "stochastic, from the second epoch": lambda: [of_lightning.StochasticWeightAveraging(0.1, swa_epoch_start=1)],
}
ENDS = {
    "the end of an epoch": {"max_epochs": 2},
    "within an epoch": {"max_epochs": 4, "max_steps": 3},
    "the end of an epoch, no validation": {"max_epochs": 2, "limit_val_batches": 0},
    "within an epoch, no validation": {"max_epochs": 4, "max_steps": 3, "limit_val_batches": 0},
    "a validation within each epoch": {"max_epochs": 2, "val_check_interval": 1},
    "a callback's stop within an epoch": {"max_epochs": 4, "min_epochs": 1},
}


def score_of(path, folder):
    """Return the score of a checkpoint in a validation of its own."""
    benchmark = BenchmarkCallback(Counted([]))
    trainer = quiet_trainer(default_root_dir=folder, callbacks=[benchmark])
    trainer.validate(VFSSimSiam(**TINY), EMPTY, ckpt_path=path, verbose=False)
    return benchmark.result.scores["score"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.sampled(13, 3)
def test_the_score_of_a_fit_is_that_of_its_checkpoints(kind, end, tmp_path):
    found = []
    for number in range(2):
        benchmark = BenchmarkCallback(Counted([]))
        order = [benchmark, *AVERAGES[kind](), of_lightning.EarlyStopping("counted/score", patience=99)]
        if number:
            order.reverse()
        if "callback" in end:
            order.append(of_lightning.LambdaCallback(on_train_batch_end=stop_after_three_steps))
        folder = tmp_path / str(number)
        last = LastCheckpoint(dirpath=folder)
        best = BestCheckpoint("counted/score", dirpath=folder)
        torch.manual_seed(0)
        trainer = fit_in(folder, *order, last, best, **ENDS[end])
        scores = benchmark.history
        assert scores[trainer.global_step]["counted/score"] == score_of(last.last_model_path, folder)
        assert float(best.best_model_score) == pytest.approx(score_of(best.best_model_path, folder), rel=1e-7)
        found.append(scores)
    assert found[0] == found[1]


class Constant(VFSSimSiam):
    """A method whose rate does not depend on the length of the run."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("first", [{"max_epochs": 2}, {"max_epochs": 4, "max_steps": 3}])
@pytest.mark.parametrize("kind", ["none", "of steps", "on the CPU, late", "of epochs"])
@pytest.mark.sampled(7, 3)
def test_a_run_that_is_made_longer_goes_on_from_the_weights_that_learn(kind, first, tmp_path):
    def trained(folder, path=None, **length):
        torch.manual_seed(0)
        trainer = trainer_in(folder, *AVERAGES[kind](), LastCheckpoint(dirpath=folder), **length)
        trainer.fit(Constant(**TINY), InMemory(8, 4, frames=2, size=32), ckpt_path=path)
        checkpoint = torch.load(folder / "last.ckpt")
        return checkpoint.get("current_model_state", checkpoint["state_dict"])

    whole = trained(tmp_path / "whole", max_epochs=4)
    trained(tmp_path / "parts", **first)
    parts = trained(tmp_path / "parts", tmp_path / "parts/last.ckpt", max_epochs=4)
    assert not differences(whole, parts)
