"""Frames in chunks: their order, how far they are read ahead, and errors after what came before them."""

import pytest
import torch

from callbacks.signals import Stopped
from callbacks.tracking.chunks import frames_at_once, in_chunks, on_cpu


def logged(log, count, error=None):
    for number in range(count):
        log.append(f"read {number}")
        yield number
    if error is not None:
        raise error


def test_a_chunk_is_begun_while_the_one_before_is_used():
    log = []
    for chunk in in_chunks(logged(log, 5), 2, lambda chunk: log.append(f"begin {chunk}") or chunk):
        log.append(f"use {chunk}")
    assert [entry for entry in log if not entry.startswith("read")] == [
        "begin [0, 1]",
        "begin [2, 3]",
        "use [0, 1]",
        "begin [4]",
        "use [2, 3]",
        "use [4]",
    ]


def test_one_by_one_nothing_is_read_ahead():
    log = []
    for chunk in in_chunks(logged(log, 2), 1, list):
        log.append(f"use {chunk}")
    assert log == ["read 0", "use [0]", "read 1", "use [1]"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("error", [None, ValueError("frame 7 is broken"), Stopped(15)])
def test_nothing_is_lost_whatever_ends_the_frames(size, error):
    used, ended_by = [], None
    try:
        for chunk in in_chunks(logged([], 7, error), size, list):
            used += chunk
    except (ValueError, Stopped) as raised:
        ended_by = raised
    assert used == list(range(7))
    assert ended_by is error


def test_a_reader_is_closed_with_the_chunks():
    closed = []

    def frames():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    chunks = in_chunks(frames(), 2, list)
    next(chunks)
    del chunks
    assert closed


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_tensors_come_frame_by_frame_however_they_travel(at_once):
    found = [(torch.tensor(t), [torch.rand(2, 3), torch.rand(4)], [torch.rand(5)]) for t in range(5)]
    for one, other in zip(found, on_cpu(iter(found), at_once), strict=True):
        assert torch.equal(one[0], other[0])
        for kind in (1, 2):
            assert all(torch.equal(a, b) for a, b in zip(one[kind], other[kind], strict=True))


def test_a_gpu_takes_as_many_frames_as_make_a_full_pass():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert [frames_at_once(gpu, size) for size in ((480, 854), (960, 1708), (2160, 3840), (64, 64))] == [8, 2, 1, 16]
    assert frames_at_once(cpu, (64, 64)) == 1
