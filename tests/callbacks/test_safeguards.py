"""Signals; the order of callbacks, callbacks that are refused, and stops; losses and workers are in tests/faults."""

import os
import signal

import pytest
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

from callbacks import AtomicCheckpointIO, BenchmarkCallback, CollapseMonitor, LastCheckpoint, Safeguards
from tests.helpers.refusal import refused
from tests.helpers.stops import Counted, Stop, go, joined, make
from tests.helpers.training import Clips, quiet_trainer
from vidcorr import signals


def test_a_signal_ends_validate_between_two_frames():
    class Stopped(Counted):
        def run(self, network, *args, **options):
            send(signal.SIGTERM)
            self.events.append("the frame under way")
            return super().run(network, *args, **options)

    events = []
    before = [signal.getsignal(each) for each in signals.NAMES]
    trainer = quiet_trainer(callbacks=[BenchmarkCallback(Stopped(events)), Safeguards()])
    with pytest.raises(signals.Stopped) as stopped:
        trainer.validate(make("VFSSimSiam", 1), DataLoader(Clips(2, 2, 16), batch_size=2), verbose=False)
    assert (events, stopped.value.code) == (["the frame under way"], 143)
    assert [signal.getsignal(each) for each in signals.NAMES] == before


def test_what_saves_comes_after_all_others_and_what_ends_the_run_last(tmp_path):
    callbacks = [Safeguards(), LastCheckpoint(dirpath=tmp_path), CollapseMonitor()]
    trainer = quiet_trainer(callbacks=callbacks, enable_checkpointing=True, max_steps=1, default_root_dir=tmp_path)
    trainer.fit(make("VFSSimSiam", 1), DataLoader(Clips(4, 2, 16), batch_size=4))
    assert [type(callback) for callback in trainer.callbacks[-2:]] == [LastCheckpoint, Safeguards]
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


def test_an_average_of_weights_is_resumed_exactly(tmp_path):
    def run(folder, **options):
        return go("VFSMoCo", folder, more=[EMAWeightAveraging(use_buffers=True, decay=0.5)], **options)

    whole, ended = run(tmp_path / "whole")
    assert ended
    begun, _ = run(tmp_path / "parts", stop=Stop("step", 4))
    rest, _ = run(tmp_path / "parts", start=tmp_path / "parts/last.ckpt")
    assert joined(begun, rest, whole) == whole


def test_a_plain_checkpoint_on_a_benchmark_that_pauses_names_best_checkpoint(tmp_path):
    plain = ModelCheckpoint(tmp_path / "plain", monitor="counted/score", mode="max")
    advice = "set every_n_epochs of counted to 1, or use BestCheckpoint in its place"
    line = f"ModelCheckpoint checks counted every epoch: {advice}"
    assert refused(ValueError, line, go, "VFSSimSiam", tmp_path, more=[plain], every_n_epochs=2)
    assert go("VFSSimSiam", tmp_path, more=[plain])[1]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_without_deferral_a_signal_ends_at_once(number, status):
    with pytest.raises(signals.Stopped) as stopped, signals.handled():
        send(number)
    assert stopped.value.code == status


def test_a_second_interrupt_ends_at_once_and_a_second_sigterm_does_not(capsys):
    with signals.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)

    def interrupted_twice():
        with signals.deferred():
            send(signal.SIGINT)
            assert "press Ctrl-C again" in capsys.readouterr().err
            send(signal.SIGINT)
            pytest.fail("still running")

    with pytest.raises(signals.Stopped):
        interrupted_twice()


def test_sigterm_is_passed_on_once():
    told = []
    with signals.deferred(told.append):
        send(signal.SIGINT)
        send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert told == []  # the terminal has told all processes of the Ctrl-C
    with signals.deferred(told.append):
        send(signal.SIGTERM)
    assert told == [signal.SIGTERM]
