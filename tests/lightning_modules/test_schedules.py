"""The learning rate of every step equals that of the original's hook."""

import pytest

from lightning_modules.schedules import cosine_factor


@pytest.mark.parametrize("case", ["c0", "c2"])
def test_golden_cosine(golden, case):
    numbers = golden("lr_schedules")
    base, _, _, by_epoch, minimum = numbers[f"{case}_params"]
    if by_epoch or minimum:
        pytest.skip("another kind of schedule")
    expected = numbers[f"{case}_lr"]
    found = [base * cosine_factor(step, len(expected)) for step in range(len(expected))]
    assert found == pytest.approx(expected, abs=1e-9)
