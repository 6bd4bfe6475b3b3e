"""The momentum encoder against the closed form of its average; the order of the queue."""

import torch
from pytorch_lightning.callbacks import LambdaCallback

from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer, tiny_moco
from vidcorr.lightning_modules.parts.momentum import MOST_HELD, KeyQueue


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
    refused(RuntimeError, "without a step of an optimiser of torch", queue.hold, torch.zeros(1, 1, 3), torch.zeros(1))


def test_the_average_moves_after_a_step_that_raised_and_once_in_a_step_within_a_step():
    class Raises(torch.optim.SGD):
        def step(self, closure=None):
            raise MemoryError

    class Within(torch.optim.SGD):
        def step(self, closure=None):
            torch.optim.SGD(self.param_groups[0]["params"], 0.1).step()

    module = tiny_moco(32)
    stopped = Raises(module.parameters(), 0.1)  # held, as a notebook's traceback holds it
    refused(MemoryError, "", stopped.step)
    moved = []
    for optimizer in (torch.optim.SGD(module.parameters(), 0.1), Within(module.parameters(), 0.1)):
        for queue in module.queues.values():
            queue.hold(torch.ones(1, 1, *queue.keys.shape[1:]), torch.zeros(1, dtype=torch.long))
        before = module.steps_taken
        optimizer.step()
        optimizer.step()  # another optimiser's, for the same batches
        moved.append(module.steps_taken - before)
    assert moved == [1, 1]


def test_ddp_does_not_broadcast_a_queue():
    assert tiny_moco()._ddp_params_and_buffers_to_ignore == ["queue.keys", "queue.video_ids", "queue.pointer"]
