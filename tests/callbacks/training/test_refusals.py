"""Callbacks of Lightning's that would spoil a run end it before any work, in one line."""

import pytest
from callbacks.training.refusals import refuse_unsupported
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EMAWeightAveraging,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from callbacks import Safeguards
from tests.helpers.contrast import quiet_trainer
from tests.helpers.stops import Stop, go, make


@pytest.mark.parametrize(
    ("method", "callback", "line"),
    [
        ("VFSSimSiam", LearningRateFinder(), "LearningRateFinder: VFSSimSiam scales its rate with the batch"),
        ("VFSMoCo", StochasticWeightAveraging(1e-3), "the queue or moving average of VFSMoCo needs; use EMAWeight"),
        ("Liir", StochasticWeightAveraging(1e-3), "StochasticWeightAveraging: its last pass"),
        ("VFSMoCo", EMAWeightAveraging(), r"would average queue\.\w+ of VFSMoCo, .* set use_buffers: false"),
        ("Liir", EMAWeightAveraging(), r"would average bank\.\w+ of Liir"),
    ],
)
def test_refused_before_any_work(method, callback, line, tmp_path):
    with pytest.raises(ValueError, match=line):
        go(method, tmp_path, more=[callback])
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_batch_size_finder_is_refused():
    trainer = quiet_trainer(callbacks=[BatchSizeFinder(), Safeguards()])
    with pytest.raises(ValueError, match="BatchSizeFinder: the learning rate and its schedule are made for the first"):
        refuse_unsupported(trainer, make("VFSSimSiam", 1))  # Lightning takes the finder with a DataModule only


def test_an_average_without_buffers_is_resumed_exactly(tmp_path):
    def run(folder, **options):
        average = EMAWeightAveraging(use_buffers=False, decay=0.5)
        return go("VFSMoCo", folder, more=[average], **options)

    whole, ended = run(tmp_path / "whole")
    assert ended
    begun, _ = run(tmp_path / "parts", stop=Stop("step", 4))
    rest, _ = run(tmp_path / "parts", start=tmp_path / "parts/last.ckpt")
    assert begun + rest == whole


def test_a_plain_checkpoint_on_a_benchmark_that_pauses_names_best_checkpoint(tmp_path):
    plain = ModelCheckpoint(tmp_path / "plain", monitor="counted/score", mode="max")
    line = r"counted runs every 2 epochs, .* use BestCheckpoint\(monitor='counted/score', mode='max'\)"
    with pytest.raises(ValueError, match=line):
        go("VFSSimSiam", tmp_path, more=[plain], every_n_epochs=2)
    assert go("VFSSimSiam", tmp_path, more=[plain])[1]
