"""bf16-mixed and accumulation train as float32 in whole batches does, up to a drift."""

import pytest

from tests.helpers.precision import METHODS, STEPS, drift, losses


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_bf16_drifts_little(name):
    first, mean, _ = drift(losses(name, steps=5), losses(name, "bf16-mixed", steps=5))
    assert 0 < first < 0.01
    assert mean < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_accumulated_steps_are_as_many_and_alike(name):
    whole, halves = losses(name, warming_up=True), losses(name, accumulated=2, warming_up=True)
    assert len(whole) == len(halves) == STEPS
    assert drift(whole, halves)[1] < 0.2
