"""Reading ahead: order, errors, and a garbage collector that closes it at the worst moment."""

import subprocess
import sys

import pytest

from vidcorr.videos.images import read_ahead

FAILING_CONSUMERS = """
import threading

from vidcorr.videos.images import read_ahead


def consume():
    frames = read_ahead(iter(range(100)))
    next(frames)
    raise ValueError("a mask is missing")


for _ in range(3000):
    try:
        consume()
    except ValueError as error:
        held = [error]
        error.held = held  # a cycle: the garbage collector closes the suspended generator, in whatever thread it runs
    del held
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
"""


def test_items_come_in_order():
    assert list(read_ahead(iter(range(20)), ahead=3)) == list(range(20))


def test_an_error_comes_in_place_of_its_item():
    def items():
        yield 1
        raise ValueError("the second item is damaged")

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="second item"):
        next(found)


def test_a_collected_reader_never_stops_the_process():
    subprocess.run([sys.executable, "-c", FAILING_CONSUMERS], check=True, timeout=60)
