"""Maps of reference frames, cell by cell, and the search for the best matches in them: by torch, or a native kernel.

The kernel, for float32 on a CPU, computes few of the dot products. A sketch of a vector holds its coordinates along the
principal components of the features, followed by the norm of the residual. By the Cauchy–Schwarz inequality the product
of two sketches is an upper bound of the dot product of their vectors. The kernel skips a dot product if a bound is below
the k-th largest product so far. Coarse sketches are short and rounded to bytes; where their bound rules nothing out,
longer fine sketches do. Sketches only bound, so the results are the same.
"""

import ctypes
import functools
import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..window_tiles import Neighbourhood
from .strips import FoundMatches, best_matches

SWITCH = "VIDCORR_NATIVE"
"""Environment variable that turns the native kernel off if it is 0."""
COARSE = 32  # numbers of a coarse sketch, a byte each; the C++ file has it too, as words of four bytes
FIRST_LENGTH = 48  # numbers of a fine sketch
STEP = 16  # the length of a fine sketch is a multiple of it
PADDING = 8  # keys that the kernel may read after the last, as the C++ file says
TINY = 2.0**-40  # added to a norm; the C++ file has it too
LARGE = 2.0**63  # norm of a key above which nothing is ruled out
MOST_MATCHES = 64  # the kernel looks through the matches of a query one by one
LENGTHEN_ABOVE = 1000  # dot products a query, above which sketches twice as long are worth their time
LENGTHEN_ABOVE_AT_START = 3000  # the same while fewer references than matches give little to rule keys out by
ROWS = 8  # rows of queries that the kernel takes together


def _members(kind: type, names: str) -> list[tuple[str, type]]:
    """Return members of one type for a `ctypes.Structure`."""
    return [(name, kind) for name in names.split()]


class _Search(ctypes.Structure):
    """Arguments of the kernel, in the order of `Search` in screened_search.cpp; `c_void_p`: address of a tensor."""

    _fields_ = (
        *_members(ctypes.c_int64, "height width slots channels length reach topk used"),
        *_members(ctypes.c_void_p, "query keys query_sketches key_sketches"),
        *_members(ctypes.c_void_p, "coarse_queries coarse_keys query_scales key_scales"),
        *_members(ctypes.c_void_p, "half_widths used_slots counts"),
        *_members(ctypes.c_double, "margin"),
        *_members(ctypes.c_void_p, "values indices"),
    )


def kernel(variant: str | None = None) -> str | None:
    """Return the path of the kernel that setup.py compiled.

    Args:
        variant: "avx512_vnni", "avx512", "avx2" or "other"; None is the fastest that this processor runs.

    Returns:
        None if the installation compiled none or `VIDCORR_NATIVE=0` turns it off.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    return _compiled(variant)


def variants() -> list[str]:
    """Return the kernels that this processor runs, the fastest first."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability != "AVX512":
        return ["avx2" if capability == "AVX2" else "other"]
    if torch.cpu._is_vnni_supported():
        return ["avx512_vnni", "avx512", "avx2"]
    return ["avx512", "avx2"]


@functools.cache
def _compiled(variant: str | None = None) -> str | None:
    for name in [variant] if variant else variants():
        library = Path(__file__).with_name(f"screened_search.{name}.so")
        if library.is_file():
            return str(library)
    return None


@functools.cache
def _search(library: str) -> Any:
    """Return the kernel's function: address of a `_Search`, first and last row → number of dot products."""
    function = ctypes.CDLL(library).vidcorr_screened_search
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int64
    return function


class Sketches(NamedTuple):
    """The sketches of a frame's features.

    Attributes:
        fine: (h, w, length).
        coarse: (h, w, COARSE), before they are rounded to integers.
    """

    fine: Tensor
    coarse: Tensor


def quantised(coarse: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Round coarse sketches (h, w, COARSE) to integers of a step each; return them, and the norms of what is lost."""
    integers = (coarse / step).round_().clamp_(-127, 127)
    return integers, norms(coarse - integers * step)


def steps(coarse: Tensor, together: int) -> Tensor:
    """Return the least step of each sketch (h, w, COARSE) whose integers the kernel multiplies: (h, w, 1).

    The sum of `together` neighbouring integers has at most 127 in absolute value, before rounding. A norm has at most
    181 after rounding, so that by the Cauchy–Schwarz inequality the sum of all products fits into 16 bits.
    """
    sums = coarse.abs().unflatten(2, (-1, together)).sum(3)
    return torch.maximum(sums.amax(2) / 127, norms(coarse) / 178).clamp_min(TINY)[:, :, None]


def norms(vectors: Tensor) -> Tensor:
    """Return the norms of vectors (h, w, C), (h, w)."""
    return vectors.square().sum(2).sqrt()


class FrameMemory:
    """Maps of lasting frames and of all frames among the latest `recent`, cell by cell.

    Args:
        lasting: indices of the lasting frames.
        recent: number of latest frames that are kept.
        like: the map (h, w, D) of a frame, for its shape and type.

    Attributes:
        maps: (h, w, S, D), S = lasting + recent.
    """

    def __init__(self, lasting: Sequence[int], recent: int, like: Tensor) -> None:
        self.lasting = sorted(set(lasting))
        self.recent = recent
        height, width, depth = like.shape
        slots = len(self.lasting) + recent
        self.maps = like.new_zeros(height, width, slots, depth)
        self._frames: list[int | None] = [None] * slots  # frame of each slot

    def write(self, frame: int, item: Tensor) -> int | None:
        """Store the map (h, w, D) of a frame; return its slot, None if the frame can never become a reference."""
        if frame in self.lasting:
            slot = self.lasting.index(frame)
        elif self.recent:
            # count from the first frame that is not lasting, so that slots fill up in order
            first = 1 if self.lasting == [0] else 0
            slot = len(self.lasting) + (frame - first) % self.recent
        else:
            return None
        self.maps[:, :, slot] = item
        self._frames[slot] = frame
        return slot

    def slot(self, frame: int) -> int:
        """Return the index of a frame on the third axis.

        Raises:
            ValueError: if the memory does not hold the frame.
        """
        if frame not in self._frames:
            held = sorted(number for number in self._frames if number is not None)
            raise ValueError(f"frame {frame} is not in the memory, which holds the frames {held}")
        return self._frames.index(frame)


class KeyMemory(FrameMemory):
    """Features of reference frames, and the search for the best matches in them.

    Args:
        lasting: indices of frames that are kept to the end.
        recent: number of latest frames that are kept.
        like: features (h, w, C) of a frame, for their shape and type.
        neighbourhood: cells that a cell searches.
    """

    def __init__(self, lasting: Sequence[int], recent: int, like: Tensor, neighbourhood: Neighbourhood) -> None:
        super().__init__(lasting, recent, like)
        self.neighbourhood = neighbourhood

    @staticmethod
    def fastest(lasting: Sequence[int], recent: int, like: Tensor, neighbourhood: Neighbourhood) -> "KeyMemory":
        """Return a memory searched by the native kernel if it runs here, otherwise by torch."""
        plain = type(like) is Tensor and like.device.type == "cpu" and like.dtype == torch.float32
        kind = SketchedMemory if plain and kernel() else KeyMemory
        return kind(lasting, recent, like, neighbourhood)

    def best_matches(self, query: Tensor, frames: Sequence[int], topk: int) -> FoundMatches:
        """Return the largest dot products of queries (h, w, C) with the keys of some frames, and their cells."""
        slots = [self.slot(frame) for frame in frames]
        return best_matches(query, self.maps, slots, topk, self.neighbourhood)


class SketchedMemory(KeyMemory):
    """Features of reference frames, and sketches that shorten the search.

    The sketches affect the time, not the results. Sketches that rule out too few keys are computed again, twice as
    long, up to all channels.

    Args:
        lasting: indices of frames that are kept to the end.
        recent: number of latest frames that are kept.
        like: features (h, w, C) of a frame, float32 on a CPU. The sketches use their principal components.
        neighbourhood: cells that a cell searches.
    """

    def __init__(self, lasting: Sequence[int], recent: int, like: Tensor, neighbourhood: Neighbourhood) -> None:
        super().__init__(lasting, recent, like, neighbourhood)
        compiled = _compiled()
        assert compiled
        self._library = compiled
        height, width, _ = like.shape
        reach = neighbourhood.reach
        # columns of the neighbourhood to either side, 0, 1, … rows away
        self._half_widths = torch.full((height,), width)
        if reach is not None:
            self._half_widths = torch.as_tensor(neighbourhood.kept[reach:].sum(1) // 2, dtype=torch.long)
        self._length = FIRST_LENGTH
        self._largest = 0.0  # norm of a key
        self._allocate(like)

    def write(self, frame: int, item: Tensor) -> int | None:
        """Store the features (h, w, C) of a frame; return its slot, None if it can never become a reference."""
        slot = super().write(frame, item)
        if slot is not None:
            self._largest = max(self._largest, float(norms(item).nan_to_num(0.0, posinf=torch.inf).amax()))
            searched, sketches = self._latest
            if searched is not item:  # a frame is usually searched first, then written
                sketches = self._sketch(item)
            self._keep(slot, sketches)
        return slot

    def best_matches(self, query: Tensor, frames: Sequence[int], topk: int) -> FoundMatches:
        """Return the largest dot products of queries (h, w, C) with the keys of some frames, and their cells.

        In a neighbourhood of fewer than `topk` keys the result is padded with −inf at index 0. The search keeps the
        sketches of `query` for a `write` of the same tensor, and lengthens all sketches if they rule out too few keys.
        """
        if topk > MOST_MATCHES:
            return super().best_matches(query, frames, topk)
        height, width, _, channels = self.maps.shape
        sketches = self._sketch(query)
        self._latest = query, sketches
        query = query.contiguous()
        listed = Counter(self.slot(frame) for frame in frames)
        used_slots, counts = torch.tensor(sorted(listed.items())).T.contiguous()
        values = query.new_empty(height, width, topk)
        indices = torch.empty(height, width, topk, dtype=torch.long)
        integers, scales = self._rounded(sketches.coarse)
        tensors = {
            "query": query,
            "keys": self.maps,
            "query_sketches": sketches.fine,
            "key_sketches": self._fine,
            "coarse_queries": integers,
            "coarse_keys": self._coarse,
            "query_scales": scales,
            "key_scales": self._scales,
            "half_widths": self._half_widths,
            "used_slots": used_slots,
            "counts": counts,
            "values": values,
            "indices": indices,
        }
        arguments = _Search(height=height, width=width, slots=self.maps.shape[2], channels=channels)
        arguments.length = self._length
        arguments.reach = len(self._half_widths) - 1
        arguments.topk = topk
        arguments.used = len(used_slots)
        arguments.margin = self._margin()
        for name, tensor in tensors.items():
            setattr(arguments, name, tensor.data_ptr())
        products_of_query = _run(self._library, arguments, height) / (height * width)
        limit = LENGTHEN_ABOVE_AT_START if len(frames) < topk else LENGTHEN_ABOVE
        can_be_longer = self._length < channels  # sketches of all channels rule out no more keys
        if products_of_query > limit and can_be_longer:
            self._lengthen(query)
        return values, indices

    def _rounding(self) -> float:
        """Return what the product of two sketches lacks by the rounding of float32, relative to both norms.

        Numbers whose squares are below 2^-150 count as 0 in a norm. That moves a norm by less than 2^-65, so all norms
        are taken to be larger by `TINY`. Below `LARGE` no sum overflows.
        """
        return 4 * self.maps.shape[3] * 2.0**-24

    def _margin(self) -> float:
        """Return what a product can exceed the product of its fine sketches by, relative to the norm of the query."""
        if self._largest >= LARGE:
            return math.inf
        return self._rounding() * (self._largest + TINY)

    def _rounded(self, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Round the coarse sketches (h, w, COARSE) of queries.

        With x' = x + d the rounded sketch of a query x, and y' = y + e that of a key y, their product lacks
        x y - x' y' = -x' e - d y, at most |x'| |e| + |d| |y|.

        Returns:
            Integers (h, w, COARSE) int8; (h, w, 3): integers per 1, |x'|, and |d| with the rounding of float32.
        """
        step = steps(coarse, 2)
        integers, lost = quantised(coarse, step)
        sizes = norms(coarse)
        lost = lost + (2.0**-20 + self._rounding()) * sizes + TINY
        return integers.to(torch.int8), torch.stack([1 / step[:, :, 0], sizes * (1 + 2.0**-20) + lost, lost], 2)

    def _lengthen(self, features: Tensor) -> None:
        """Compute all sketches again, twice as long, in the principal components of some features."""
        self._length *= 2
        del self._fine  # before longer ones take memory
        self._allocate(features)
        for slot in range(self.maps.shape[2]):
            self._keep(slot, self._sketch(self.maps[:, :, slot]))

    def _keep(self, slot: int, sketches: Sketches) -> None:
        """Store the sketches of a frame as the kernel reads them."""
        self._fine[slot] = sketches.fine
        coarse = sketches.coarse
        step = steps(coarse, 1).amax()
        integers, lost = quantised(coarse, step)
        height, width = coarse.shape[:2]
        cells = slice(slot * height * width, (slot + 1) * height * width)
        self._coarse[cells] = (integers + 128).to(torch.uint8).flatten(0, 1)
        largest = norms(coarse).amax()
        self._scales[slot] = torch.stack([1 / step, largest + TINY, lost.amax() + 2.0**-20 * largest + TINY])

    def _allocate(self, features: Tensor) -> None:
        """Choose the principal components, and make room for the sketches."""
        height, width, slots, channels = self.maps.shape
        none = features.new_empty(0)
        self._latest = none, Sketches(none, none)  # the latest query, and its sketches: none so long
        self._length = min(self._length, math.ceil(channels / STEP) * STEP)
        # the first principal components, the mean left in
        rows = features.flatten(0, 1)
        moments = (rows.T @ rows).double().nan_to_num(0, 0, 0)  # NaN is for the search to find
        components = torch.linalg.eigh(moments).eigenvectors.flip(1)
        kept = max(COARSE - 1, self._length - 1 if self._length < channels else 0)
        self._basis = components[:, :kept].to(features).contiguous()
        self._fine = features.new_zeros(slots, height, width, self._length)
        self._coarse = torch.zeros(slots * height * width + PADDING, COARSE, dtype=torch.uint8)
        self._scales = torch.zeros(slots, 3)

    def _sketch(self, features: Tensor) -> Sketches:
        """Return the sketches of features (h, w, C)."""
        channels = features.shape[2]
        coordinates = features @ self._basis
        squared = features.square().sum(2, keepdim=True)

        def sketch(length: int) -> Tensor:
            """Take the first coordinates; the norm of the residual comes last."""
            if length - 1 > coordinates.shape[2]:
                return F.pad(coordinates, (0, length - coordinates.shape[2]))
            first = coordinates[:, :, : length - 1]
            # Rounding must not make the bound too small.
            rounding = 2 * channels * 2.0**-24 * squared
            residual = (squared - first.square().sum(2, keepdim=True)).clamp_min(0) + rounding
            return torch.cat([first, residual.sqrt()], 2)

        if self._length >= channels:
            return Sketches(F.pad(features, (0, self._length - channels)), sketch(COARSE))
        return Sketches(sketch(self._length), sketch(COARSE))


def _run(library: str, arguments: _Search, height: int) -> int:
    """Search on as many threads as torch has, each in a band of rows; return the number of dot products."""
    bands = math.ceil(height / ROWS)
    threads = min(torch.get_num_threads(), bands)
    # bands of `ROWS` rows, shared out evenly
    edges = [min(height, ROWS * (i * bands // threads)) for i in range(threads + 1)]
    search = functools.partial(_search(library), ctypes.addressof(arguments))
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(search, edges[:-1], edges[1:]))
