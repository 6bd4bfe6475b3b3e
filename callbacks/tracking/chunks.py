"""Frames in chunks, for a GPU: the next chunk is started before the current one is used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from lightning_modules.functional.propagation.sizing import Size
from lightning_modules.functional.transfer import PendingCopy

T = TypeVar("T")
U = TypeVar("U")
Found = tuple[Tensor, list[Tensor], list[Tensor]]
"""A frame, its labels and what is decoded from them, one tensor for each result."""

PIXELS_AT_ONCE = 8 * 480 * 854
"""Pixels of the frames of one pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16


def frames_at_once(device: torch.device, size: Size) -> int:
    """Return how many frames of size (H, W) a device takes at a time: several on a GPU; elsewhere one after the other.

    On a CPU a second frame in a pass only costs cache, and results are then there frame by frame.
    """
    return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (size[0] * size[1]))) if device.type == "cuda" else 1


def in_chunks(items: Iterable[T], size: int, begin: Callable[[list[T]], U]) -> Iterator[U]:
    """Yield `begin(chunk)` for each chunk of up to `size` items, in order.

    With chunks of several items the next one is begun before a chunk is yielded, so that a GPU works on it meanwhile;
    items are read that far ahead. An error of `items` is raised after everything before it has been yielded.

    Args:
        items: read one by one.
        size: size of a chunk; 1 reads and begins nothing ahead.
        begin: starts the work on a chunk.

    Example:
        >>> list(in_chunks(range(5), 2, sum))
        [1, 5, 4]
    """
    if size == 1:
        yield from (begin([item]) for item in items)
        return
    iterator, begun = iter(items), deque[U]()
    ended = False
    while not ended:
        chunk, error = _next_chunk(iterator, size)
        if chunk:
            begun.append(begin(chunk))
        ended = error is not None or len(chunk) < size
        while len(begun) > (0 if ended else 1):
            yield begun.popleft()
        if error is not None:
            try:
                raise error
            finally:
                del error  # which holds this frame, and with it what reads the items


def _next_chunk(items: Iterator[T], size: int) -> tuple[list[T], BaseException | None]:
    """Return the next items, and the error (or the signal) that came in place of another."""
    chunk: list[T] = []
    try:
        for item in islice(items, size):
            chunk.append(item)
    except BaseException as error:
        return chunk, error
    return chunk, None


def on_cpu(found: Iterable[Found], at_once: int) -> Iterator[Found]:
    """Yield the results of frames with their tensors on the CPU.

    On a GPU those of a chunk of frames travel together, while the next chunk is worked on; `found` is then read that
    far ahead, see `in_chunks`.

    Args:
        found: frame, labels and what is decoded from them, one tensor for each result, on any one device.
        at_once: frames of a chunk.
    """
    if at_once == 1:
        for frame, *kinds in found:
            labels, decoded = ([each.cpu() for each in kind] for kind in kinds)
            yield frame, labels, decoded
        return
    for chunk, arriving in in_chunks(found, at_once, _begin_copies):
        labels, decoded = ([each.wait() for each in kind] for kind in arriving)
        for number, (frame, _, _) in enumerate(chunk):
            yield frame, [each[number] for each in labels], [each[number] for each in decoded]


def _begin_copies(chunk: list[Found]) -> tuple[list[Found], list[list[PendingCopy]]]:
    _, *kinds = zip(*chunk, strict=True)
    return chunk, [[PendingCopy(_stacked(each)) for each in zip(*kind, strict=True)] for kind in kinds]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]
