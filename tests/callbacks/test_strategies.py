"""Each strategy of Lightning trains two steps on two ranks, or is refused in one line."""

import pytest
from pytorch_lightning.strategies import StrategyRegistry

from tests.helpers.faults import last, run_script, words
from tests.helpers.words import refusal

NAMES = [name for name in StrategyRegistry.available_strategies() if "find_unused_parameters" not in name]
TRAINS = ("ddp", "ddp_fork", "ddp_notebook", "single_device")
"""Strategies that a machine without an accelerator has."""
ELSEWHERE = ("ddp", "ddp_notebook")
"""Strategies that other tests in this tier train with, and `ddp_notebook`, which forks as `ddp_fork` does."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRAINS])
def test_a_strategy_that_this_machine_lacks_is_refused_in_one_line(name, video_folder, tmp_path):
    assert refusal(*words("VFSSimSiam", video_folder, tmp_path, f"--trainer.strategy={name}", "--trainer.devices=2"))
    assert not [*tmp_path.rglob("last.ckpt")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.exhaustive if name in ELSEWHERE else ()) for name in TRAINS],
)
def test_a_strategy_trains(name, video_folder, tmp_path):
    more = [f"--trainer.strategy={name}", f"--trainer.devices={1 if name == 'single_device' else 2}"]
    run_script(words("VFSSimSiam", video_folder, tmp_path, *more, "--trainer.max_steps=2", samples_per_epoch=20), 0)
    assert last(tmp_path)["global_step"] == 2
