"""The momentum encoder against the closed form of its average; the order of the queue."""

import torch
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.plugins.precision import MixedPrecision

from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer, tiny_moco
from vidcorr.lightning_modules.parts.momentum import MOST_HELD, KeyQueue, move_average


def test_training_averages_in_float32_once_a_step_and_keeps_statistics_apart():
    """By a momentum that is a hook, as BYOL's, which changes; and the queue moves once a step."""
    learned, averages, held, queues = [], [], [], []
    module = tiny_moco(32)
    module.momentum_of_average = lambda: 0.5 if module.global_step == 2 else 0.999
    module.on_after_backward = lambda: held.append(module.queue.held[-1])
    expected = [module.encoder[0].conv.weight.detach().double()]
    first_queue = module.queue.keys.clone()

    def note(*_):
        learned.append(module.encoder[0].conv.weight.detach().double())
        averages.append(module.target_encoder[0].conv.weight.double())
        queues.append(module.queue.keys.clone())

    callbacks = [LambdaCallback(on_train_batch_end=note)]
    trainer = quiet_trainer(max_steps=3, accumulate_grad_batches=2, precision="bf16-mixed", callbacks=callbacks)
    trainer.fit(module, loader(videos=24, batch_size=4))
    for step, momentum in enumerate((0.999, 0.999, 0.5)):
        moved = momentum * expected[-1] + (1 - momentum) * learned[2 * step + 1]
        expected += [expected[-1], moved]  # after the first of two batches, and after the step
    torch.testing.assert_close(averages, expected[1:], rtol=0, atol=4e-8)
    assert not torch.equal(module.encoder[0].bn.running_mean, module.target_encoder[0].bn.running_mean)
    assert torch.equal(queues[0], first_queue)  # after one of two accumulated batches
    assert not torch.equal(queues[1], first_queue)
    # 6 batches of 4 videos × 2 frames into 32 places: the last four are there, oldest at the pointer
    keys, ids = (torch.cat(part) for part in zip(*held[-4:], strict=True))
    oldest_first = torch.arange(32).add(module.queue.pointer).remainder(32)
    assert torch.equal(module.queue.keys[oldest_first], keys)
    assert torch.equal(module.queue.video_ids[oldest_first], ids)
    assert ids.tolist() == [video for video in range(8, 24) for _ in range(2)]
    assert trainer.callback_metrics["train/queue_age"] == 2  # steps of 16 keys


def test_keys_that_no_optimiser_step_takes_are_refused():
    queue = KeyQueue(12, 3)
    for _ in range(MOST_HELD):
        queue.hold(torch.zeros(1, 1, 3), torch.zeros(1))
    refused(
        RuntimeError,
        r"wait for the end of a step: a loop of your own calls end_step\(\)",
        queue.hold,
        torch.zeros(1, 1, 3),
        torch.zeros(1),
    )


def test_a_step_that_the_gradient_scaler_leaves_out_moves_nothing():
    """Its keys enter with those of the next step."""

    class Scaled(MixedPrecision):
        """Leaves out the first step, as float16's scaler does after a gradient that overflows."""

        def optimizer_step(self, optimizer, model, closure, **options):
            if closure() is not None and model.global_step == 0 and not seen:
                seen.append(0)
                return
            optimizer.step()

    seen, states = [], []
    module = tiny_moco(32)
    first = module.target_encoder[0].conv.weight.clone()

    def note(*_):
        moved = not torch.equal(first, module.target_encoder[0].conv.weight)
        states.append((moved, int(module.queue.filled.sum()), module._own_steps))

    callbacks = [LambdaCallback(on_train_batch_end=note)]
    trainer = quiet_trainer(
        max_epochs=1, limit_train_batches=3, callbacks=callbacks, plugins=[Scaled("bf16-mixed", "cpu")]
    )
    trainer.fit(module, loader(videos=24, batch_size=4))
    assert states == [(False, 0, 0), (True, 16, 1), (True, 24, 2)]


def test_a_step_without_new_keys_does_not_count():
    module = tiny_moco(32)
    module.queue.hold(torch.ones(1, 1, *module.queue.keys.shape[1:]), torch.zeros(1, dtype=torch.long))
    counts = []
    for _ in range(2):
        module.end_step()
        counts.append((module.steps_taken, int(module.queue.filled.sum())))
    assert counts == [(1, 1), (1, 1)]


def test_an_average_in_half_precision_is_refused():
    half = [torch.nn.PReLU().half() for _ in range(2)]
    refused(ValueError, "take bf16-mixed for bf16-true, 16-mixed for 16-true", move_average, *half, 0.75)


def test_ddp_does_not_broadcast_a_queue():
    assert tiny_moco()._ddp_params_and_buffers_to_ignore == ["queue.keys", "queue.video_ids", "queue.pointer"]
