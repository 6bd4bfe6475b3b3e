"""Generators of a method: functions of their key."""

import torch

from lightning_modules.components.seeding import keyed_generator


def test_a_key_has_one_stream_of_its_own() -> None:
    keys = [(0,), (1,), (0, 0, 3), (0, 0, 4), (0, 3, 0)]
    first, again = ([torch.rand(4, generator=keyed_generator(*key)) for key in keys] for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert len({tuple(draws.tolist()) for draws in first}) == len(keys)


def test_the_draws_of_published_runs_stay() -> None:
    assert keyed_generator(0, 1, 2).initial_seed() == 2187946392326065592
