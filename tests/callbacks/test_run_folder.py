"""The loggers of a run that continues."""

import time

import pytest
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.stops import Stop, go


def logged(folder):
    """Return tag → steps and values that TensorBoard shows."""
    events = EventAccumulator(str(folder / "lightning_logs/version_0")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow
@pytest.mark.parametrize(("kill", "steps"), [(Stop("step", 4), 9), (Stop("validated", 1), 9), (None, 5)])
def test_the_logs_of_a_resumed_run_hold_no_step_twice(kill, steps, tmp_path):
    """Killed after a checkpoint between and within epochs, or ended and made longer."""

    def run(name, steps=9, **options):
        logger = TensorBoardLogger(tmp_path / name, version=0)
        go("VFSSimSiam", tmp_path / name, logger=logger, log_every_n_steps=1, max_steps=steps, **options)

    run("whole")
    run("parts", steps, stop=kill, kill=True, every=4)
    time.sleep(1 - time.time() % 1)  # TensorBoard orders the files of a second by a number as text, 10 before 9
    run("parts", start=tmp_path / "parts/last.ckpt")
    found, whole = logged(tmp_path / "parts"), logged(tmp_path / "whole")
    if kill is None:  # the benchmark also ran where the run ended
        assert found["counted/score"].pop(2)[0] == 5
    for tag in ("train/loss", "val/loss", "counted/score"):
        assert [step for step, _ in found[tag]] == [step for step, _ in whole[tag]], tag
        assert kill is None or found[tag] == whole[tag], tag  # the rates follow from the number of steps
