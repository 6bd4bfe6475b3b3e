"""The search of `LocalAttention.best_matches` on a CPU by a native kernel, which computes few of the dot products.

A sketch of a vector holds its coordinates along the principal components of the features, and last the norm of what
is left of the vector. By the Cauchy–Schwarz inequality the product of two sketches is an upper bound of the dot product
of their vectors. Where the bound is below the k-th largest dot product, the dot product need not be computed.
"""

import ctypes
import functools
import importlib.util
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import FoundMatches, KeyMemory, LocalAttention
from .tiles import Neighbourhood

SWITCH = "VIDCORR_NATIVE"
"""Environment variable that turns the native kernel off if it is 0."""
CHUNK = 32  # numbers of a sketch that lie side by side in memory; the C++ file has it too
FIRST_CHUNKS = 2  # of a sketch: one is less to multiply, but rules out fewer keys
MOST_MATCHES = 64  # the kernel looks through the matches of a query one by one
MANY = 1000  # dot products a query, above which sketches twice as long are worth their time
TOO_MANY = 3000  # the same while there are fewer references than matches, and so little to rule keys out by
ROWS = 8  # of queries that the kernel takes together


class _Search(ctypes.Structure):
    """Arguments of the kernel: sizes, then addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("height", "width", "slots", "channels", "chunks", "pitch")),
        *((name, ctypes.c_int64) for name in ("reach", "topk", "used")),
        *((name, ctypes.c_void_p) for name in ("query", "keys", "query_sketches", "key_sketches")),
        *((name, ctypes.c_void_p) for name in ("half_widths", "used_slots", "counts")),
        ("margin", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("values", "indices")),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the kernel that setup.py compiled for this processor, or None where there is none."""
    variant = {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "other")
    spec = importlib.util.find_spec(f"lightning_modules.functional.propagation.compiled_{variant}")
    return None if spec is None or spec.origin is None else ctypes.CDLL(spec.origin)


def compiled_search_runs() -> bool:
    """Return True where the installation compiled the kernel and `VIDCORR_NATIVE=0` does not turn it off."""
    return os.environ.get(SWITCH) != "0" and library() is not None


def can_screen(features: Tensor) -> bool:
    """Return True for float32 on a CPU where the native kernel runs."""
    plain = type(features) is Tensor and features.device.type == "cpu" and features.dtype == torch.float32
    return plain and compiled_search_runs()


class SketchedMemory(KeyMemory):
    """Features of reference frames with a sketch of each, and the search that they shorten.

    Results do not depend on the sketches, only the time does: sketches that let too many keys through are made again,
    twice as long, up to all channels.

    Args:
        lasting: see `FrameMemory`.
        recent: see `FrameMemory`.
        like: see `FrameMemory`; float32 on a CPU. Its principal components are taken for the sketches.
        attention: see `KeyMemory`.
    """

    def __init__(self, lasting: Sequence[int], recent: int, like: Tensor, attention: LocalAttention) -> None:
        super().__init__(lasting, recent, like, attention)
        height, width, _, _ = self.maps.shape
        self._half_widths = torch.tensor(_half_widths(attention.neighbourhood, height, width))
        self._chunks = FIRST_CHUNKS
        self._written: set[int] = set()
        self._largest = 0.0  # norm of a key
        self._allocate(like)

    def write(self, frame: int, item: Tensor) -> None:
        """Take the features (h, w, C) of a frame, if it can become a reference."""
        super().write(frame, item)
        if frame in self.lasting or self.recent > 0:
            self._write_sketches(self.slot(frame), item)

    def _write_sketches(self, slot: int, features: Tensor) -> None:
        width = features.shape[1]
        self._written.add(slot)
        norms = features.square().sum(2).sqrt()
        self._largest = max(self._largest, float(norms.nan_to_num(0.0, posinf=torch.inf).amax()))
        searched, sketches = self._latest
        sketches = sketches if searched is features else self._sketch(features)
        self._sketches[slot, :, :, :width] = sketches.unflatten(2, (-1, CHUNK)).transpose(1, 2)

    def best_matches(self, query: Tensor, frames: Sequence[int], topk: int) -> FoundMatches:
        """Return the largest dot products of queries (h, w, C) with the keys of some frames, and their cells.

        Where a neighbourhood has fewer than `topk` keys, they are padded with −inf at index 0.
        """
        if topk > MOST_MATCHES:
            return super().best_matches(query, frames, topk)
        height, width, slots, channels = self.maps.shape
        references = [self.slot(frame) for frame in frames]
        sketches = self._sketch(query)
        self._latest = query, sketches
        used = sorted(set(references))
        used_slots, counts = torch.tensor(used), torch.tensor([references.count(slot) for slot in used])
        values, indices = query.new_empty(height, width, topk), torch.empty(height, width, topk, dtype=torch.long)
        arguments = _Search(
            *(height, width, slots, channels, self._chunks, self._sketches.shape[3]),
            *(len(self._half_widths) - 1, topk, len(used)),
            *(tensor.data_ptr() for tensor in (query, self.maps, sketches, self._sketches)),
            *(tensor.data_ptr() for tensor in (self._half_widths, used_slots, counts)),
            4 * channels * 2.0**-24 * self._largest,
            *(tensor.data_ptr() for tensor in (values, indices)),
        )
        computed = _run(arguments, height) / (height * width)
        if computed > (TOO_MANY if len(references) < topk else MANY):
            self._lengthen(query)
        return values, indices

    def _lengthen(self, features: Tensor) -> None:
        if self._chunks * CHUNK >= features.shape[2]:
            return  # most features are equal: no sketch rules keys out
        self._chunks *= 2
        self._allocate(features)
        for slot in sorted(self._written):
            self._write_sketches(slot, self.maps[:, :, slot])

    def _allocate(self, features: Tensor) -> None:
        height, width, slots, channels = self.maps.shape
        # A query, which is often written next, and its sketches.
        self._latest = features.new_empty(0), features.new_empty(0)
        self._basis = None if self._chunks * CHUNK >= channels else _basis(features, self._chunks * CHUNK - 1)
        self._chunks = min(self._chunks, -(-channels // CHUNK))
        # Keys are taken in pairs: the last of a row has a neighbour in memory too.
        self._sketches = features.new_zeros(slots, height, self._chunks, width + 1, CHUNK)

    def _sketch(self, features: Tensor) -> Tensor:
        """(h, w, C) → (h, w, chunks · CHUNK), contiguous."""
        length, channels = self._chunks * CHUNK, features.shape[2]
        if self._basis is None:
            return F.pad(features, (0, length - channels)).contiguous()
        coordinates = features @ self._basis
        squared = features.square().sum(2, keepdim=True)
        # Rounding must not make the bound too small.
        left = (squared - coordinates.square().sum(2, keepdim=True)).clamp_min(0) + 2 * channels * 2.0**-24 * squared
        return torch.cat([coordinates, left.sqrt()], 2)


def _basis(features: Tensor, size: int) -> Tensor:
    """Return the first principal components of (h, w, C), the mean left in: (C, size)."""
    rows = features.flatten(0, 1)
    moments = (rows.T @ rows).double().nan_to_num(0, 0, 0)  # NaN is for the search to find
    return torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :size].to(features).contiguous()


def _half_widths(neighbourhood: Neighbourhood, height: int, width: int) -> list[int]:
    """Return the columns to either side that a neighbourhood has, 0, 1, … rows away."""
    reach = neighbourhood.reach
    if reach is None:
        return [width] * height
    return [int(row.sum()) // 2 for row in neighbourhood.kept[reach:]]


def _run(arguments: _Search, height: int) -> int:
    """Run the kernel on as many threads as torch has; return the number of dot products."""
    loaded = library()
    assert loaded is not None  # by `can_screen`
    function = loaded.vidcorr_screened_search
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64], ctypes.c_int64
    pointer = ctypes.addressof(arguments)
    bands = -(-height // ROWS)
    threads = min(torch.get_num_threads(), bands)
    if threads == 1:
        return int(function(pointer, 0, height))
    edges = [min(height, ROWS * (i * bands // threads)) for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda start, stop: int(function(pointer, start, stop)), edges[:-1], edges[1:]))
