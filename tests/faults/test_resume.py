"""A run that is killed or preempted resumes as if it had not been: real signals, in separate processes."""

import random
import re
from functools import cache, partial

import pytest

import lightning_modules
from tests.helpers.faults import curve, differences, last, run, run_script, strike, words
from tests.helpers.method_steps import METHODS as ALL, frames_of

pytestmark = pytest.mark.slow

STATE = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")


OF_CLIPS = [name for name in ALL if "clip" in getattr(lightning_modules, name).images and frames_of(name) <= 2]
"""Every method that learns from two frames."""


@pytest.fixture(scope="module")
def whole(video_folder, tmp_path_factory):
    """Return the folder of an uninterrupted run of a method."""

    @cache
    def of(method):
        folder = tmp_path_factory.mktemp(method)
        run(words(method, video_folder, folder), folder)
        return folder

    return of


def expect_the_same(folder, whole):
    assert curve(folder) == curve(whole)
    one, other = last(folder), last(whole)
    assert [found for key in STATE for found in differences(one[key], other[key], key)] == []


@pytest.mark.parametrize(
    "method", [name if name == "VFSMoCo" else pytest.param(name, marks=pytest.mark.exhaustive) for name in OF_CLIPS]
)
def test_a_run_that_is_killed_twice(method, whole, video_folder, tmp_path):
    first, second = sorted(random.Random(method).sample(range(3, 14 if method != "Liir" else 12), 2))
    for number, step in enumerate((first, second)):
        more = ["--ckpt_path=last"] if number else []
        blow = strike("SIGKILL", step, place="end" if number else "step")
        run(words(method, video_folder, tmp_path, *more, callbacks=(blow,)), tmp_path, -9)
    said = run(words(method, video_folder, tmp_path, "--ckpt_path=last"), tmp_path)
    assert f"resuming from {tmp_path}/lightning_logs/version_" in said
    expect_the_same(tmp_path, whole(method))


@pytest.mark.parametrize(
    ("name", "shown", "status", "step", "place", "workers"),
    [("SIGTERM", "SIGTERM", 143, 10, "validation", 0), ("SIGINT", "Ctrl-C", 130, 7, "step", 1)],
    ids=["in validation", "within a step, by Ctrl-C"],
)
def test_a_signal_saves_the_step_and_the_run_resumes(
    name, shown, status, step, place, workers, whole, video_folder, tmp_path
):
    blow = strike(name, step, place=place, group=True)
    said = run(words("VFSSimSiam", video_folder, tmp_path, callbacks=(blow,), num_workers=workers), tmp_path, status)
    reached = step + (place == "step")
    assert f"stopped by {shown}\n" in said
    assert re.search(f"ended in step {reached}; saved after step {reached}: .*/last.ckpt\n", said)
    assert "Traceback" not in said
    assert last(tmp_path)["global_step"] == reached
    assert max(curve(tmp_path)) == reached
    said = run(words("VFSSimSiam", video_folder, tmp_path, "--ckpt_path=last"), tmp_path)
    assert f"resuming from {tmp_path}/lightning_logs/version_0/checkpoints/last.ckpt: step {reached}, epoch " in said
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    config = tmp_path / "lightning_logs/version_0/config.yaml"
    assert "ckpt_path: null\n" in config.read_text()  # a new run if it is given again
    expect_the_same(tmp_path, whole("VFSSimSiam"))


@pytest.mark.exhaustive
def test_two_ranks_killed_at_random(video_folder, tmp_path):
    more = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    command = partial(words, "VFSMoCo", video_folder, samples_per_epoch=20)
    folders = [tmp_path / "whole", tmp_path / "parts"]
    for folder in folders:
        folder.mkdir()
    run_script(command(folders[0], *more), 0)
    first, second = sorted(random.Random(1).sample(range(3, 14), 2))
    run_script(command(folders[1], *more, callbacks=(strike("SIGKILL", first, group=True),)), -9)
    blow = strike("SIGKILL", second, place="end", group=True)
    run_script(command(folders[1], *more, "--ckpt_path=last", callbacks=(blow,)), -9)
    said = run_script(command(folders[1], *more, "--ckpt_path=last"), 0)
    assert f"resuming from {folders[1]}" in said
    expect_the_same(folders[1], folders[0])
