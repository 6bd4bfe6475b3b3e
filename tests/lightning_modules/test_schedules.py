"""The learning rate of every step equals that of the original's hook."""

import pytest
from torch import nn

from lightning_modules.schedules import cosine_factor, sgd_with_cosine


@pytest.mark.parametrize("case", ["c0", "c2"])
def test_golden_cosine(golden, case):
    numbers = golden("lr_schedules")
    base, _, _, by_epoch, minimum = numbers[f"{case}_params"]
    if by_epoch or minimum:
        pytest.skip("another kind of schedule")
    expected = numbers[f"{case}_lr"]
    found = [base * cosine_factor(step, len(expected)) for step in range(len(expected))]
    assert found == pytest.approx(expected, abs=1e-9)


def test_optimizer_follows_the_schedule():
    config = sgd_with_cosine(nn.Linear(2, 2), 0.1, 0.9, 1e-4, total_steps=4)
    optimizer, scheduler = config["optimizer"], config["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.1 * cosine_factor(step, 4) for step in range(5)])
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert config["lr_scheduler"]["interval"] == "step"
