"""The queue of keys against a plain deque, and its refusals."""

from collections import deque

import torch

from lightning_modules.momentum import KeyQueue
from tests.helpers.refusal import refused


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


def test_queue_marks_a_videos_own_keys():
    queue = KeyQueue(10, 2)
    queue.enqueue(torch.zeros(3, 2), torch.tensor([1, 2, 1]))
    assert queue.of_same_video(torch.tensor([1, 3])).nonzero().tolist() == [[0, 0], [0, 2]]


def test_queue_refuses():
    queue = KeyQueue(10, 2)
    queue.require_divisor(5)
    assert refused(ValueError, r"queue_size 10: a step brings 4 keys.*nearest are 8 and 12", queue.require_divisor, 4)
    assert refused(ValueError, r"nearest are 32$", queue.require_divisor, 32)
