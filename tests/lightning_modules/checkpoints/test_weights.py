"""Weights that fit, and weights that are still those that were saved."""

import pytest
import torch
from torch import nn

from lightning_modules.checkpoints.weights import check_digest, check_fit, digest_of, listed, load_strictly


def test_a_digest_sees_every_number_name_shape_and_type():
    state = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1), "c": torch.zeros(2, dtype=torch.bfloat16)}
    digest = digest_of(state)
    assert digest == digest_of(dict(reversed(state.items())))
    assert digest == digest_of(state | {"a": state["a"].t().contiguous().t()})  # the same numbers, otherwise in memory
    for change in (
        {"a": state["a"] + torch.eye(3)[:2] * 1e-6},
        {"a": state["a"].view(3, 2)},
        {"b": torch.tensor(1.0)},
        {"d": torch.zeros(0)},
    ):
        assert digest_of(state | change) != digest
    check_digest(state, digest, "x.ckpt")
    check_digest(state, None, "x.ckpt")
    for noted in ("0" * 64, 7, digest[:-1]):
        with pytest.raises(ValueError, match=r"x\.ckpt: its weights are not those that were saved"):
            check_digest(state, noted, "x.ckpt")


def test_weights_of_another_kind_do_not_fit():
    module = nn.BatchNorm1d(2)
    state = module.state_dict()
    load_strictly(module, {name: value.half() if value.ndim else value for name, value in state.items()}, "x")
    for change in (torch.ones(2, dtype=torch.long), torch.ones(2, dtype=torch.complex64)):
        with pytest.raises(ValueError, match=r"x: does not fit BatchNorm1d; of another type: weight torch\."):
            check_fit(module, state | {"weight": change}, "x")


def test_long_lists_are_counted():
    assert listed("hgfedcba") == "a, b, c, d, e, f and 2 more"
    assert listed(["b", "a"]) == "a, b"
