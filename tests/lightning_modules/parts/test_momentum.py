"""The momentum encoder against the closed form of its average; the queue against a plain deque."""

from collections import deque
from copy import deepcopy
from itertools import pairwise

import torch
from pytorch_lightning.callbacks import LambdaCallback

from lightning_modules import VFSSimSiam
from lightning_modules.parts.momentum import KeyQueue, MomentumMethod
from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer, tiny_moco


def test_training_averages_in_float32_and_keeps_statistics_apart():
    weights = []
    module = tiny_moco(32)
    record = LambdaCallback(
        on_train_batch_end=lambda *_: weights.append(next(module.encoder.parameters()).detach().clone())
    )
    start = next(module.target_encoder.parameters()).clone()
    trainer = quiet_trainer(max_steps=5, precision="bf16-mixed", callbacks=[record])
    trainer.fit(module, loader(videos=24, batch_size=4))
    # m^n ξ₀ + (1 − m) Σ m^(n−1−k) θ_k in float64
    added = sum(0.999 ** (4 - k) * weight.double() for k, weight in enumerate(weights))
    expected = 0.999**5 * start.double() + 0.001 * added
    moved = (expected - start.double()).abs().max()
    assert moved > 0
    average = next(module.target_encoder.parameters())
    torch.testing.assert_close(average.double(), expected, rtol=0, atol=float(moved) * 0.02 + 4e-8)
    learned = dict(module.encoder.named_buffers())
    means = {name: buffer for name, buffer in module.target_encoder.named_buffers() if "running_mean" in name}
    assert means
    assert not any(torch.equal(buffer, learned[name]) for name, buffer in means.items())


def test_an_average_in_half_precision_is_refused():
    trainer = quiet_trainer(precision="bf16-true")
    refused(ValueError, "the moving average needs float32", trainer.fit, tiny_moco(), loader(videos=8, batch_size=4))


class Keyless(MomentumMethod, VFSSimSiam):
    """A user's method with an average whose momentum changes (BYOL), and without keys."""

    def __init__(self):
        super().__init__("tests.helpers.training:Tiny", projector_dim=8, predictor_dim=4)
        self.target_encoder = deepcopy(self.backbone).requires_grad_(False)

    def momentum_of_average(self):
        return 0.0 if self.global_step == 2 else 1.0


def test_the_average_moves_once_an_optimiser_step_by_a_momentum_that_is_a_hook():
    module = Keyless()
    weights = [module.target_encoder.conv.weight.clone()]
    keep = LambdaCallback(on_train_batch_end=lambda *_: weights.append(module.target_encoder.conv.weight.clone()))
    trainer = quiet_trainer(max_steps=4, accumulate_grad_batches=2, callbacks=[keep])
    trainer.fit(module, loader(videos=32, batch_size=4, frames=2))
    moved = [not torch.equal(before, after) for before, after in pairwise(weights)]
    assert moved == [False] * 5 + [True, False, False]  # in the third step


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


def test_a_queue_starts_with_the_same_directions_on_all_ranks():
    first, again, other = (KeyQueue(4, 3, seed).keys for seed in (1, 1, 2))
    torch.testing.assert_close(first.norm(dim=1), torch.ones(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    ignored = tiny_moco()._ddp_params_and_buffers_to_ignore  # by DDP's broadcast
    assert ignored == ["queue.keys", "queue.video_ids", "queue.pointer"]
