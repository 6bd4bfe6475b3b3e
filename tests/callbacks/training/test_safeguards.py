"""The order of callbacks, and a `validate` that is stopped; losses, workers and folders are in tests/faults."""

import os
import signal
from typing import Any

import pytest
from torch.utils.data import DataLoader

from callbacks import CollapseMonitor, LastCheckpoint, Safeguards, signals
from tests.helpers.contrast import Clips, quiet_trainer
from tests.helpers.stops import Counted, make


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_validate_between_two_frames(number, status):
    class Stopped(Counted):
        def evaluate(self, extractor: Any, *args: Any, **options: Any) -> dict[str, float]:
            os.kill(os.getpid(), number)
            self.events.append("the frame under way")
            return super().evaluate(extractor, *args, **options)

    Stopped.__abstractmethods__ = frozenset()
    events: list[Any] = []
    before = [signal.getsignal(each) for each in signals.WATCHED]
    trainer = quiet_trainer(callbacks=[Stopped(events), Safeguards()])
    with pytest.raises(signals.Stopped) as stopped:
        trainer.validate(make("VFSSimSiam", 1), DataLoader(Clips(2, 2, 16), batch_size=2), verbose=False)
    assert (events, stopped.value.code) == (["the frame under way"], status)
    assert [signal.getsignal(each) for each in signals.WATCHED] == before


def test_what_saves_comes_after_all_others_and_what_ends_the_run_last(tmp_path):
    callbacks = [Safeguards(), LastCheckpoint(dirpath=tmp_path), CollapseMonitor()]
    trainer = quiet_trainer(callbacks=callbacks, enable_checkpointing=True, max_steps=1, default_root_dir=tmp_path)
    trainer.fit(make("VFSSimSiam", 1), DataLoader(Clips(4, 2, 16), batch_size=4))
    assert [type(callback) for callback in trainer.callbacks[-2:]] == [LastCheckpoint, Safeguards]
