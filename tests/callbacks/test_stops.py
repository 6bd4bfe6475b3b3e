"""A training that is stopped anywhere, any number of times, resumes as if it had not been, to the last bit.

What is stopped and resumed here are trainings of nine tiny batches in this process; real signals and kills are in
tests/faults/test_resume.py.
"""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    StochasticWeightAveraging,
)
from torch.optim import lr_scheduler

from callbacks import BenchmarkCallback, BestCheckpoint
from lightning_modules import VFSMoCo, VFSSimSiam
from tests.helpers.faults import differences
from tests.helpers.refusal import refused
from tests.helpers.stops import BATCHES, EPOCHS, Counted, Stop, content, expect_equal, go, joined, positions

METHODS = ("VFSSimSiam", "VFSMoCo", "Liir")
EXHAUSTIVE = [pytest.mark.exhaustive, pytest.mark.timeout(3600)]
LAST = "last.ckpt"


def combinations(slow):
    """Return each method with 1 and 2 accumulated batches; those that are not in `slow` are left to `exhaustive`."""
    pairs = [(method, accumulated) for method in METHODS for accumulated in (1, 2)]
    return [pair if pair in slow else pytest.param(*pair, marks=EXHAUSTIVE) for pair in pairs]


def resumed(folder, method, accumulated, stops, **options):
    """Stop a run by SIGTERM at each of some positions in turn, let it end; return whether all is as if it had not."""
    whole, _ = go(method, folder / "whole", accumulated, **options)
    done, ended, last = [], False, folder / "parts" / LAST
    for stop in [*stops, None]:
        more, ended = go(method, folder / "parts", accumulated, last if last.exists() else None, stop, **options)
        done = joined(done, more, whole, repeats=accumulated)
    expect_equal(content(folder / "parts"), content(folder / "whole"))
    return ended and done == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "stops",
    [
        [Stop("step", BATCHES - 1), Stop("step", BATCHES)],  # an epoch's last batch, and once more
        [Stop("validation", 0), Stop("epoch_end", 1)],
        [Stop("validated", 1), Stop("validation", 2)],
        [Stop("step", 0), Stop("step", 4), Stop("step", 5), Stop("validated", 2)],
    ],
    ids=lambda stops: ", ".join(f"{stop.hook} {stop.number}" for stop in stops),
)
def test_a_run_stopped_again_and_again_is_the_uninterrupted_run(stops, tmp_path):
    assert resumed(tmp_path, "VFSMoCo", 2, stops)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "accumulated"), combinations(slow=[]))
def test_every_pair_of_stops(method, accumulated, tmp_path):
    """Stop at one position, then at another, then let it end.

    What a run does after its last stop is a function of the file that it left there. So the file of each pair is
    compared, all of it, with the one that a single stop at the second position leaves, and the end is run from that.
    """
    whole, _ = go(method, tmp_path / "whole", accumulated, every=100)
    before = {}
    for number, stop in enumerate(positions()):
        folder = tmp_path / str(number)
        begun, ended = go(method, folder, accumulated, stop=stop, every=100)
        assert not ended
        kept = (folder / LAST).exists()
        before[stop] = (begun, content(folder) if kept else None)
        rest, ended = go(method, tmp_path / "end", accumulated, folder / LAST if kept else None, every=100)
        assert ended
        assert joined(begun, rest, whole, repeats=accumulated) == whole, stop
        expect_equal(content(tmp_path / "end"), content(tmp_path / "whole"))
    kinds = [event[0] for event in whole]
    assert kinds.count("benchmark") == kinds.count("validated") + 1 == EPOCHS + 1
    for number, first in enumerate(positions()):
        for second in positions()[number + 1 :]:
            (begun, file), (events, expected) = before[first], before[second]
            if file is None or file["place"] == expected["place"]:  # nothing is there yet, or nothing new
                continue
            start = tmp_path / str(number) / LAST
            more, _ = go(method, tmp_path / "pair", accumulated, start, second, every=100)
            assert joined(begun, more, whole, repeats=accumulated) == events, (first, second)
            expect_equal(content(tmp_path / "pair"), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "accumulated"), combinations(slow=[("VFSSimSiam", 1)]))
def test_every_kill(method, accumulated, tmp_path):
    """A kill repeats the steps since the last file, and changes nothing."""
    whole, _ = go(method, tmp_path / "whole", accumulated)
    for number, stop in enumerate(positions()):
        folder = tmp_path / str(number)
        begun, ended = go(method, folder, accumulated, stop=stop, kill=True)
        assert not ended
        start = folder / LAST
        rest, ended = go(method, folder, accumulated, start if start.exists() else None)
        assert ended
        assert joined(begun, rest, whole) == whole, stop
        expect_equal(content(folder), content(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "stop"),
    [
        ({"max_steps": 7, "max_epochs": -1}, Stop("step", 2)),  # the last batch of an epoch
        ({"max_steps": 7, "max_epochs": -1}, Stop("epoch_end", 0)),
        ({"max_steps": 7, "max_epochs": -1}, Stop("step", 6)),  # the last step of the run, within an epoch
        ({"max_steps": 6, "max_epochs": -1}, Stop("step", 5)),  # and at the end of one
        ({"max_steps": 6, "max_epochs": -1}, Stop("validation", 1)),
        ({"val_check_interval": 2}, Stop("step", 1)),
        ({"val_check_interval": 2}, Stop("step", 4)),
        ({"limit_val_batches": 0}, Stop("step", 5)),
        ({"check_val_every_n_epoch": 2}, Stop("step", 5)),
        ({"check_val_every_n_epoch": 2}, Stop("step", 2)),
        ({"more": [GradientAccumulationScheduler({0: 1, 1: 2})]}, Stop("step", 4)),
    ],
)
def test_limits_and_intervals_of_lightning(options, stop, tmp_path):
    assert resumed(tmp_path, "VFSSimSiam", 1, [stop], **options)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(
    "stops",
    [
        [Stop("step", 1)],  # before the average begins
        [Stop("epoch_end", 0)],
        [Stop("step", 4)],  # in its first epoch
        [Stop("validation", 1), Stop("step", 7)],
        [Stop("validated", 1)],  # between two of its epochs
        [Stop("epoch_end", 2)],  # before the pass for BatchNorm
    ],
    ids=lambda stops: ", ".join(f"{stop.hook} {stop.number}" for stop in stops),
)
def test_an_average_over_epochs_resumes(stops, strategy, tmp_path):
    average = StochasticWeightAveraging(0.01, swa_epoch_start=2, annealing_epochs=3, annealing_strategy=strategy)
    assert resumed(tmp_path, "VFSSimSiam", 1, stops, more=[average])
    states = [torch.load(tmp_path / part / LAST, weights_only=True)["callbacks"] for part in ("parts", "whole")]
    one, other = (state[average.state_key] for state in states)
    assert one["scheduler_state"] is not None
    assert differences(one, other) == []


class Ending(pl.Callback):
    """A user's callback that ends the run, at a batch counted over all epochs, or at a number of validations."""

    def __init__(self, batch=None, validation=None):
        self.batch = batch
        self.validation = validation
        self.validations = 0

    def on_train_batch_end(self, trainer, *args):
        if trainer.fit_loop.total_batch_idx == self.batch:
            trainer.should_stop = True

    def on_validation_end(self, trainer, *args):
        self.validations += 1
        if self.validations == self.validation:
            trainer.should_stop = True


AVERAGE = EMAWeightAveraging(use_buffers=True, decay=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "accumulated", "options"),
    [
        pytest.param({"max_time": {"microseconds": 1}}, 1, {}, marks=pytest.mark.slow),
        (Ending(batch=1), 1, {}),
        pytest.param(Ending(batch=4), 1, {"limit_val_batches": 0}, marks=pytest.mark.slow),
        (Ending(batch=4), 1, {"val_check_interval": 2}),  # a validation follows this batch in any run
        (Ending(validation=2), 1, {"val_check_interval": 2}),
        (Ending(validation=2), 2, {"val_check_interval": 1}),  # between two accumulated batches
        (Ending(batch=3), 2, {}),
        pytest.param(Ending(batch=5), 1, {}, marks=pytest.mark.slow),  # the last of an epoch
        pytest.param(Ending(batch=1), 1, {"min_steps": 4}, marks=pytest.mark.slow),
        ({"max_steps": 2}, 1, {"val_check_interval": 2}),
        pytest.param({"max_steps": 4}, 1, {"val_check_interval": 1}, marks=pytest.mark.slow),
        pytest.param(
            {"max_steps": 4}, 1, {"val_check_interval": 4, "check_val_every_n_epoch": None}, marks=pytest.mark.slow
        ),
        pytest.param({"max_steps": 4}, 1, {"more": [AVERAGE]}, marks=pytest.mark.slow),
        (Ending(batch=1), 1, {"more": [AVERAGE]}),
        (Ending(batch=2), 1, {"more": [AVERAGE]}),
    ],
)
def test_a_run_that_ends_early_resumes_within_its_epoch(ending, accumulated, options, tmp_path, monkeypatch):
    # the rate of a schedule would depend on the length of the run
    monkeypatch.setattr(VFSMoCo, "configure_optimizers", lambda module: torch.optim.SGD(module.parameters(), 0.1))
    callbacks = [*options.get("more", ()), EarlyStopping("train/loss", patience=99)]
    options = {"every": 100} | options | {"more": callbacks}
    shorter = options | (ending if isinstance(ending, dict) else {"more": [ending, *callbacks]})
    whole, _ = go("VFSMoCo", tmp_path / "whole", accumulated, **options)
    begun, _ = go("VFSMoCo", tmp_path / "parts", accumulated, **shorter)
    assert [path.name for path in (tmp_path / "parts").glob(".*.ckpt")] == []
    rest, _ = go("VFSMoCo", tmp_path / "parts", accumulated, tmp_path / "parts" / LAST, **options)
    steps = [[event for event in events if isinstance(event[0], int)] for events in (begun, rest, whole)]
    assert steps[0]
    assert steps[1]
    assert steps[0] + steps[1] == steps[2]
    validated = [event for event in begun if event[0] == "validated"]
    once = [event for event in whole if event[0] == "validated" and event not in validated]
    assert [event for event in rest if event[0] == "validated"] == once
    one, other = content(tmp_path / "parts"), content(tmp_path / "whole")
    scored = {run["step"] for run in other["benchmarks"]["counted"]["runs"]}
    runs = [run for run in one["benchmarks"]["counted"]["runs"] if run["step"] in scored]
    one["benchmarks"]["counted"]["runs"] = runs  # the end within an epoch was scored too
    expect_equal(one, other)
    files = [torch.load(tmp_path / part / LAST, weights_only=True) for part in ("parts", "whole")]
    for name in ("callbacks", "epoch", "averaging_state", "current_model_state"):
        assert differences(files[0].get(name), files[1].get(name)) == []


def test_the_time_of_earlier_runs_counts_and_is_named(tmp_path):
    short = {"max_time": {"microseconds": 1}}
    go("VFSSimSiam", tmp_path, **short)
    with pytest.warns(UserWarning, match="max_time has passed, with the time before the resumption: give a longer one"):
        assert go("VFSSimSiam", tmp_path, start=tmp_path / LAST, **short)[0] == []


def test_a_run_that_came_to_its_end_is_not_repeated_and_can_be_made_longer(tmp_path):
    options = {"max_steps": 4, "max_epochs": -1}
    begun, _ = go("VFSSimSiam", tmp_path, **options)
    assert go("VFSSimSiam", tmp_path, start=tmp_path / LAST, **options) == ([], True)
    rest, _ = go("VFSSimSiam", tmp_path, start=tmp_path / LAST, max_steps=9, max_epochs=-1)
    steps = [event[:3] for event in begun + rest if isinstance(event[0], int)]
    assert steps == [(step // BATCHES, step % BATCHES, step + 1) for step in range(9)]


class Patience(pl.Callback):
    """A user's callback with a state whose numbers change their sign and type."""

    best: float = -1

    def on_train_batch_end(self, trainer, pl_module, outputs, *args):
        self.best = max(self.best, float(outputs["loss"]))

    def state_dict(self):
        return {"best": self.best, "worst": float("inf")}

    def load_state_dict(self, state_dict):
        self.best = state_dict["best"]


def warm_up(optimizer):
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return {"scheduler": lr_scheduler.SequentialLR(optimizer, parts, milestones=[4]), "interval": "step"}


def plateau(optimizer):
    return {"scheduler": lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0), "monitor": "val/loss"}


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [warm_up, plateau])
@pytest.mark.parametrize("stop", [Stop("step", 1), Stop("step", 4)])
def test_a_users_schedule_and_callbacks_resume(schedule, stop, tmp_path, monkeypatch):
    def optimizer(module):
        optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": schedule(optimizer)}

    monkeypatch.setattr(VFSSimSiam, "configure_optimizers", optimizer)
    callbacks = [Patience(), EarlyStopping("val/loss", patience=9)]
    assert resumed(tmp_path, "VFSSimSiam", 1, [stop], more=callbacks)
    rates = torch.load(tmp_path / "parts" / LAST, weights_only=True)["optimizer_states"][0]["param_groups"][0]
    assert rates["lr"] != rates["initial_lr"] if schedule is warm_up else rates["lr"] < 0.1


def test_another_batch_size_is_refused(tmp_path):
    go("VFSSimSiam", tmp_path, 2, stop=Stop("step", 1))
    with pytest.raises(ValueError, match=r"batches of 4 samples × 2 accumulated, this run has 4 samples × 1"):
        go("VFSSimSiam", tmp_path, 1, start=tmp_path / LAST)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "kept", "place"),
    [
        (3, 2, "Stopped after step 2."),
        (4, 2, "Stopped during step 3, which will be repeated."),
        (5, 3, "Stopped during step 4, which will be repeated."),
    ],
    ids=["first of a window", "its last", "an epoch's last"],
)
def test_an_error_in_a_users_callback_keeps_the_last_complete_step(batch, kept, place, tmp_path, caplog):
    class Fail(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.fit_loop.epoch_loop.batch_progress.total.ready == batch + 1:
                raise RuntimeError("a mistake of the user's")

    whole, _ = go("VFSMoCo", tmp_path / "whole", 2)
    caplog.set_level("INFO")
    refused(RuntimeError, "a mistake", go, "VFSMoCo", tmp_path / "parts", 2, more=[Fail()], every=100)
    said = f"{place} Saved: {tmp_path}/parts/{LAST}"
    assert [line for line in caplog.messages if "saved" in line or LAST in line] == [said]
    # the weights may be beyond it, but not all callbacks have seen a later step
    assert torch.load(tmp_path / "parts" / LAST, weights_only=True)["global_step"] == kept
    rest, _ = go("VFSMoCo", tmp_path / "parts", 2, start=tmp_path / "parts" / LAST, every=100)
    assert rest == whole[-len(rest) :]
    expect_equal(content(tmp_path / "parts"), content(tmp_path / "whole"))


def test_a_file_from_within_a_window_is_refused(tmp_path):
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            trainer.save_checkpoint(tmp_path / f"{args[-1]}.ckpt")

    go("VFSSimSiam", tmp_path, 2, more=[Save()])
    with pytest.raises(ValueError, match=r"0\.ckpt was written within an optimiser step"):
        go("VFSSimSiam", tmp_path, 2, start=tmp_path / "0.ckpt")
    assert go("VFSSimSiam", tmp_path, 2, start=tmp_path / "1.ckpt")[1]


class Declared(Counted):
    default_name = "declared"
    score_names = ("score", "other")


def test_two_best_checkpoints_never_share_files(tmp_path):
    again = BestCheckpoint("declared/score", dirpath=tmp_path / "best")  # `go` keeps the best of another score there
    with pytest.raises(ValueError, match="would replace each other's files: set a dirpath"):
        go("VFSSimSiam", tmp_path, more=[BenchmarkCallback(Declared([])), again])


def test_a_misspelt_monitor_is_refused_before_any_work(tmp_path):
    events = []
    with pytest.raises(ValueError, match=r"declared logs no such score; it logs declared/score, declared/other"):
        go(
            "VFSSimSiam",
            tmp_path,
            more=[BenchmarkCallback(Declared(events)), BestCheckpoint("declared/scoer", dirpath=tmp_path / "b")],
        )
    assert events == []


def test_a_finished_run_says_so_and_how_to_extend_it(tmp_path, monkeypatch):
    go("VFSSimSiam", tmp_path)
    last, told = tmp_path / "last.ckpt", []
    monkeypatch.setattr("callbacks.last_checkpoint.rank_zero_info", told.append)
    assert go("VFSSimSiam", tmp_path, start=last) == ([], True)
    line = f"nothing to train: {last} holds step 9 of a finished run; to extend it, raise --trainer.max_epochs 3"
    assert told == [line]
    refused(ValueError, "was written with batches of 4 samples × 1", go, "VFSSimSiam", tmp_path, 3, start=last)
