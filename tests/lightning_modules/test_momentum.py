"""The momentum encoder against the closed form of its average, in every precision; the queue against a plain deque."""

from collections import deque

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn

from lightning_modules.momentum import KeyQueue, MomentumEncoder
from tests.helpers.refusal import refused
from tests.helpers.training import Tiny, loader, quiet_trainer, tiny_liir, tiny_moco


def test_average_takes_no_gradient_and_keeps_its_own_statistics_and_what_is_finer_than_float32():
    module = Tiny()
    average = MomentumEncoder(module)
    module(torch.randn(4, 3, 8, 8))
    average.update(module, 0.5)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average.average.bn.running_mean.abs().max() == 0
    assert module.bn.running_mean.abs().max() > 0
    assert {parameter.dtype for parameter in average.double().parameters()} == {torch.float64}


def test_a_state_dict_has_the_encoders_names_both_ways():
    module, other = Tiny(), nn.ModuleDict({"target": MomentumEncoder(Tiny())})
    state = nn.ModuleDict({"target": MomentumEncoder(module)}).state_dict()
    assert list(state) == [f"target.{name}" for name in module.state_dict()]
    other.load_state_dict(state)
    assert torch.equal(other["target"].average.conv.weight, module.conv.weight)


# Liir's Adam has no 16-true: its ε of 1e-8 is 0 in float16
@pytest.mark.parametrize(("method", "precision"), [("moco", "bf16-true"), ("moco", "16-true"), ("liir", "bf16-true")])
def test_training_keeps_average_and_queue_exact(method, precision):
    options, weights = {"encoder_momentum": 0.999}, []
    module = tiny_moco(32, base_lr=0.5, **options) if method == "moco" else tiny_liir(schedule={"lr": 1e-5}, **options)
    queue = module.queue if method == "moco" else module.bank
    record = LambdaCallback(
        on_train_batch_end=lambda *_: weights.append(next(module.encoder.parameters()).detach().clone())
    )
    start = next(module.target_encoder.parameters()).clone()
    trainer = quiet_trainer(max_steps=5, precision=precision, callbacks=[record])
    trainer.fit(module, loader(videos=24, batch_size=4, frames=4 if method == "moco" else 2, size=16))
    average = next(module.target_encoder.parameters())
    assert average.dtype == torch.float32
    assert weights[0].dtype in (torch.bfloat16, torch.float16)  # the encoder is rounded, its average is not
    # m^n ξ₀ + (1 − m) Σ m^(n−1−k) θ_k in float64
    added = sum(0.999 ** (4 - k) * weight.double() for k, weight in enumerate(weights))
    expected = 0.999**5 * start.double() + 0.001 * added
    moved = (expected - start.double()).abs().max()
    assert moved > 0
    torch.testing.assert_close(average.double(), expected, rtol=0, atol=float(moved) * 0.02 + 4e-8)
    assert queue.keys.dtype == torch.float32
    assert queue.video_ids.min() >= 0
    if method == "moco":
        torch.testing.assert_close(queue.keys.norm(dim=1).float(), torch.ones(32), rtol=0, atol=1e-6)


def test_queue_equals_a_plain_loop():
    queue = KeyQueue(12, 3)
    plain = deque(zip(queue.keys.tolist(), [-1] * 12, strict=True), maxlen=12)
    storage = queue.keys.data_ptr()
    for step, count in enumerate([4, 4, 4, 4, 5, 12, 1]):
        keys = torch.randn(count, 3)
        ids = torch.arange(count) + 100 * step
        queue.enqueue(keys, ids)
        plain.extend(zip(keys.tolist(), ids.tolist(), strict=True))
        oldest_first = torch.arange(12).add(queue.pointer).remainder(12)
        assert queue.keys[oldest_first].tolist() == [key for key, _ in plain]
        assert queue.video_ids[oldest_first].tolist() == [video for _, video in plain]
    assert queue.keys.data_ptr() == storage


def test_a_queue_that_the_keys_of_a_step_do_not_divide_is_refused():
    message = "model.queue_size is 10, no multiple of the 8 keys of an optimiser step: set it to 8"
    assert refused(ValueError, message, quiet_trainer(max_steps=1).fit, tiny_moco(10), loader(videos=8, batch_size=4))
