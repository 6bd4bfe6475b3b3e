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
for _ in range(800):
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


def test_items_come_in_order_and_an_error_in_place_of_its_item():
    def items():
        yield from range(20)
        raise ValueError("the last item is damaged")

    found = read_ahead(items(), ahead=3)
    assert [next(found) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="last item"):
        next(found)


@pytest.mark.slow
def test_a_collected_reader_never_stops_the_process():
    ended = subprocess.run([sys.executable, "-c", FAILING_CONSUMERS], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
