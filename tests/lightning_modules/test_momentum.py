"""The momentum encoder against the closed form of its average; the queue against a plain deque."""

from collections import deque

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback, StochasticWeightAveraging

from lightning_modules.parts.momentum import KeyQueue
from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer, tiny_liir, tiny_moco


def test_an_average_in_half_precision_is_refused():
    message, trainer = (
        "bf16-true: the moving average needs float32; take bf16-mixed",
        quiet_trainer(precision="bf16-true"),
    )
    assert refused(ValueError, message, trainer.fit, tiny_moco(), loader(videos=8, batch_size=4))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["moco", "liir"])
def test_training_averages_in_float32_and_keeps_statistics_apart(method):
    weights = []
    module = tiny_moco(32, base_lr=0.5) if method == "moco" else tiny_liir(schedule={"lr": 1e-5})
    queue = module.queue if method == "moco" else module.bank
    record = LambdaCallback(
        on_train_batch_end=lambda *_: weights.append(next(module.encoder.parameters()).detach().clone())
    )
    start = next(module.target_encoder.parameters()).clone()
    trainer = quiet_trainer(max_steps=5, precision="bf16-mixed", callbacks=[record])
    trainer.fit(module, loader(videos=24, batch_size=4, frames=4 if method == "moco" else 2, size=16))
    # m^n ξ₀ + (1 − m) Σ m^(n−1−k) θ_k in float64
    added = sum(0.999 ** (4 - k) * weight.double() for k, weight in enumerate(weights))
    expected = 0.999**5 * start.double() + 0.001 * added
    moved = (expected - start.double()).abs().max()
    assert moved > 0
    average = next(module.target_encoder.parameters())
    torch.testing.assert_close(average.double(), expected, rtol=0, atol=float(moved) * 0.02 + 4e-8)
    assert not any(parameter.requires_grad for parameter in module.target_encoder.parameters())
    learned = dict(module.encoder.named_buffers())
    means = {name: buffer for name, buffer in module.target_encoder.named_buffers() if "running_mean" in name}
    assert means
    assert not any(torch.equal(buffer, learned[name]) for name, buffer in means.items())
    assert queue.keys.dtype == (torch.float32 if method == "moco" else torch.bfloat16)  # the features' own type
    assert queue.video_ids.min() >= 0
    if method == "moco":
        torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(32), rtol=0, atol=1e-6)


def test_stochastic_weight_averaging_goes_through_its_pass_without_steps():
    module, trainer = tiny_moco(32), quiet_trainer(max_epochs=2, callbacks=[StochasticWeightAveraging(0.01)])
    trainer.fit(module, loader(videos=8, batch_size=4))
    assert trainer.state.finished
    assert all(parameter.isfinite().all() for parameter in module.parameters())


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
