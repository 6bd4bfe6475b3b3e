"""Maps of reference frames, cell by cell, and the search for the best matches in them: by torch, or a native kernel.

The kernel, for float32 on a CPU, computes few of the dot products. A sketch of a vector holds its coordinates along the
principal components of the features, followed by the norm of the residual. By the Cauchy–Schwarz inequality the product
of two sketches is an upper bound of the dot product of their vectors, and so is that of the first coordinates and the
norm of what they leave. The kernel skips a dot product if a bound is below the k-th largest product so far. Sketches
are integers of 16 bits where the processor multiplies them in pairs: they only bound, so the results are the same.
"""

import ctypes
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import native
from ..window_tiles import Neighbourhood
from .attention import BestMatches, best_matches

# words of 4 bytes of a sketch that lie side by side in memory; the C++ file has it too
CHUNK = 32
FIRST_LENGTH = 64
# words of a sketch that give a first bound
FIRST_WORDS = 12
TINY = 2.0**-40
"""Added to every norm, here and in the C++ file. Products count numbers below 2^-126 as 0, and norms count squares
below 2^-150 as 0; both errors are less than 2^-65."""
# norm of a key above which nothing is ruled out
LARGE = 2.0**63
# in a sketch: what rounding adds to it still has 16 bits
LARGEST_INTEGER = 32000
# the kernel looks through the matches of a query one by one
MOST_MATCHES = 64
# dot products a query, above which sketches twice as long are worth their time
LENGTHEN_ABOVE = 500
# the same while fewer references than matches give little to rule keys out by
LENGTHEN_ABOVE_AT_START = 3000
# rows of queries that the kernel takes together
ROWS = 8


class _Search(ctypes.Structure):
    """Arguments of the kernel, in the order of `Search` in screened_search.cpp, which explains them."""

    _fields_ = (
        *native.members(ctypes.c_int64, "height width slots channels chunks first pitch reach topk used"),
        *native.members(ctypes.c_void_p, "query keys query_sketches key_sketches half_widths used_slots counts units"),
        *native.members(ctypes.c_double, "margin"),
        *native.members(ctypes.c_void_p, "values indices"),
    )


class Kernel(NamedTuple):
    """The search that setup.py compiled for one kind of processor.

    Attributes:
        variant: "avx512_vnni", "avx512", "avx2" or "other".
        sketches: type of the numbers in a sketch.
        chunk: count of numbers in a chunk of a sketch.
    """

    variant: str
    sketches: torch.dtype
    chunk: int


def kernel() -> Kernel | None:
    """Return the fastest compiled search that this processor runs; None without one."""
    variant = native.compiled_variant()
    if variant is None:
        return None
    # "other" has no instruction that multiplies 16-bit integers in pairs
    sketches = torch.float32 if variant == "other" else torch.int16
    return Kernel(variant, sketches, chunk=CHUNK * 4 // sketches.itemsize)


class Sketches(NamedTuple):
    """Sketches of a frame.

    Attributes:
        features: (h, w, C), the features that are sketched.
        words: (h, w, words), the sketches as the kernel reads them, in words of 4 bytes.
        largest: largest norm of a feature of the frame.
        unit: number that an integer 1 in a sketch stands for; 1 for float sketches.
    """

    features: Tensor
    words: Tensor
    largest: float
    unit: float


class FrameMemory:
    """Features and labels of reference frames, cell by cell, and the search for the best matches in the features.

    Args:
        lasting: indices of frames that are kept to the end.
        recent: number of latest other frames that are kept.
        features: (h, w, C) of a frame, for their shape and type.
        labels: (h, w, L) of a frame, for their shape and type.
        neighbourhood: cells that a cell searches.

    Attributes:
        keys: (h, w, S, C), features of the frames; S = lasting + recent.
        labels: (h, w, S, L), labels of the frames.

    Example:
        >>> cell = torch.zeros(1, 1, 1)
        >>> memory = FrameMemory([0, 5], 2, cell, cell, Neighbourhood(None))
        >>> [memory.write(frame, cell + frame, cell) for frame in range(7)]
        [0, 3, 2, 3, 2, 1, 2]
        >>> memory.keys.flatten(), memory.slot(6)
        (tensor([0., 5., 6., 3.]), 2)
    """

    def __init__(
        self, lasting: Sequence[int], recent: int, features: Tensor, labels: Tensor, neighbourhood: Neighbourhood
    ) -> None:
        self.lasting = sorted(set(lasting))
        self.recent = recent
        self.neighbourhood = neighbourhood
        # one for each lasting frame, then a ring for the recent ones
        slots = len(self.lasting) + recent
        height, width, channels = features.shape
        self.keys = features.new_zeros(height, width, slots, channels)
        self.labels = labels.new_zeros(height, width, slots, labels.shape[2])
        self._frames: list[int | None] = [None] * slots  # index of the frame in each slot; None: empty

    def write(self, frame: int, features: Tensor, labels: Tensor) -> int | None:
        """Store features and labels of a frame and return its slot; None if it can never be a reference."""
        if frame in self.lasting:
            slot = self.lasting.index(frame)
        elif self.recent:
            # where frame 0 alone lasts, the ring begins with frame 1, so that its slots fill up in order
            first = 1 if self.lasting == [0] else 0
            slot = len(self.lasting) + (frame - first) % self.recent
        else:
            return None
        self.keys[:, :, slot] = features
        self.labels[:, :, slot] = labels
        self._frames[slot] = frame
        return slot

    def slot(self, frame: int) -> int:
        """Return the index of a frame on the third axis of `keys` and `labels`."""
        if frame not in self._frames:
            kept = sorted(number for number in self._frames if number is not None)
            raise ValueError(f"frame {frame} is not in the memory, which holds the frames {kept}")
        return self._frames.index(frame)

    def best_matches(self, query: Tensor, frames: Sequence[int], topk: int) -> BestMatches:
        """Return products and cells of the best matches in some frames, as `attention.best_matches`."""
        slots = list(map(self.slot, frames))
        return best_matches(query, self.keys, slots, topk, self.neighbourhood)


class SketchedMemory(FrameMemory):
    """A `FrameMemory` of float32 on a CPU, with sketches of the features, which shorten the search.

    The sketches affect the time, not the results. If they rule out too few keys, all sketches are computed again, twice
    as long, up to all channels.
    """

    def __init__(
        self, lasting: Sequence[int], recent: int, features: Tensor, labels: Tensor, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(lasting, recent, features, labels, neighbourhood)
        compiled = kernel()
        # this memory is made only where `kernel` finds a search
        assert compiled
        self._kernel = compiled
        height, width, _ = features.shape
        reach = neighbourhood.reach
        # columns that the neighbourhood has on each side of the query, in the rows 0, 1, … away from it
        self._half_widths = torch.full((height,), width)
        # the mask's row `reach` is the query's own; of its 2 n + 1 columns n lie on each side
        if reach is not None:
            self._half_widths = torch.as_tensor(neighbourhood.kept[reach:].sum(1) // 2, dtype=torch.long)
        self._largest = 0.0
        self._units = torch.ones(self.keys.shape[2], dtype=torch.float32)
        self._latest: Sketches | None = None
        self._sketch_all(features, FIRST_LENGTH // self._kernel.chunk)

    def write(self, frame: int, features: Tensor, labels: Tensor) -> int | None:
        slot = super().write(frame, features, labels)
        if slot is not None:
            # of the latest query: a frame is usually searched, then written
            sketches = self._latest
            if sketches is None or sketches.features is not features:
                sketches = self._sketch(features)
            self._largest = max(self._largest, sketches.largest)
            self._units[slot] = sketches.unit
            # (h, w, words) → (h, chunks, w, words of a chunk); the last cell of a row is a spare one for the kernel
            self._sketches[slot, :, :, :-1] = sketches.words.unflatten(2, (-1, CHUNK)).transpose(1, 2)
        return slot

    def best_matches(self, query: Tensor, frames: Sequence[int], topk: int) -> BestMatches:
        if topk > MOST_MATCHES:
            return super().best_matches(query, frames, topk)
        height, width, _, channels = self.keys.shape
        sketches = self._sketch(query)
        self._latest = sketches
        query = query.contiguous()
        listed = Counter(map(self.slot, frames))  # slot → how often it counts
        used_slots, counts = torch.tensor(sorted(listed.items())).T.contiguous()
        units = self._units[used_slots] * sketches.unit
        values = query.new_empty(height, width, topk)
        indices = torch.empty(height, width, topk, dtype=torch.long)
        arguments = {
            "height": height,
            "width": width,
            "slots": self.keys.shape[2],
            "channels": channels,
            "chunks": self._chunks,  # of a sketch
            "first": 0 if self._basis is None else FIRST_WORDS,  # words of a sketch that give a first bound; 0: none do
            "pitch": self._sketches.shape[3],  # cells of a row of key sketches, with a spare one at the end
            "reach": len(self._half_widths) - 1,  # rows that the neighbourhood reaches up and down
            "topk": topk,
            "used": len(used_slots),
            "query": query,
            "keys": self.keys,
            "query_sketches": sketches.words,
            "key_sketches": self._sketches,
            "half_widths": self._half_widths,
            "used_slots": used_slots,
            "counts": counts,
            "units": units,
            "margin": self._margin() * (sketches.largest + TINY),  # what a bound can lack, for the largest |q|
            "values": values,
            "indices": indices,
        }
        # number of dot products of whole vectors, with keys that no sketch ruled out
        products = native.run("vidcorr_screened_search", self._kernel.variant, _Search, arguments, height, ROWS)
        query_products = products / (height * width)
        # fewer references than matches give little to rule keys out by, whatever the length
        limit = LENGTHEN_ABOVE_AT_START if len(frames) < topk else LENGTHEN_ABOVE
        # sketches of all channels rule out no more keys
        can_be_longer = self._chunks * self._kernel.chunk < channels
        if query_products > limit and can_be_longer:
            self._sketch_all(query, 2 * self._chunks)
        return values, indices

    def _margin(self) -> float:
        """Return by how much a product q·k can exceed the product of their sketches, divided by the largest |q|.

        Without rounding the product of two sketches is an upper bound of q·k. In float32 all operations round.

        Integer sketches round more: each of the `length` numbers of a sketch moves by half a unit, and by a little more
        in the division by the unit, which is 1 / `LARGEST_INTEGER` of the largest norm of the frame. So a sketch moves
        by at most e = 0.51 √length / `LARGEST_INTEGER` of this norm, and by Cauchy and Schwarz the product by at most
        (2 e + e²) |q| |k|. Sums of integers are exact: they fit into 32 bits.
        """
        # a sum could overflow: no key is ruled out
        if self._largest >= LARGE:
            return math.inf
        # relative to |q| |k|: 2^-24 for each rounding of a float32, in the sketches, both sums and the threshold
        excess = (4 * self.keys.shape[3] + 8) * 2.0**-24
        if self._kernel.sketches is torch.int16:
            length = self._chunks * self._kernel.chunk
            moved = 0.51 * math.sqrt(length) / LARGEST_INTEGER  # e
            excess = excess + 2 * moved + moved**2
        return excess * (self._largest + TINY)

    def _sketch_all(self, features: Tensor, chunks: int) -> None:
        """Choose length and components of the sketches by features (h, w, C), and sketch all held frames."""
        height, width, slots, channels = self.keys.shape
        self._latest = None
        # the components, (C, numbers); None: a sketch is the vector itself
        self._basis = None
        length = chunks * self._kernel.chunk
        # the first principal components, without subtracting the mean
        if length < channels:
            rows = features.flatten(0, 1)
            # NaN shows in the labels, which are checked
            moments = (rows.T @ rows).double().nan_to_num(0, 0, 0)
            components = torch.linalg.eigh(moments).eigenvectors.flip(1)
            # the last two are norms: `_sketch`
            self._basis = components[:, : length - 2].to(features).contiguous()
        self._chunks = min(chunks, math.ceil(channels / self._kernel.chunk))
        # frees the former sketches before the new ones are allocated
        self._sketches = features.new_empty(0)
        # the kernel takes keys in pairs, so the last key of a row needs a neighbour in memory: width + 1
        self._sketches = features.new_zeros(slots, height, self._chunks, width + 1, CHUNK)
        for slot, frame in enumerate(self._frames):
            if frame is not None:
                self.write(frame, self.keys[:, :, slot], self.labels[:, :, slot])

    def _sketch(self, features: Tensor) -> Sketches:
        """Return sketches of features (h, w, C): all channels, or the first principal components in two parts.

        After each part follows the norm of the vector without the components so far, so that the kernel can bound a
        product by the first part alone.
        """
        length = self._chunks * self._kernel.chunk
        channels = features.shape[2]
        squared = features.square().sum(2, keepdim=True)
        largest = float(squared.amax().sqrt())
        if self._basis is None:
            sketches = F.pad(features, (0, length - channels))
        else:
            first = FIRST_WORDS * self._kernel.chunk // CHUNK
            coordinates = (features @ self._basis).split([first - 1, length - first - 1], 2)
            # added, because rounding must not make a bound too small
            rounding = 2 * channels * 2.0**-24 * squared
            residual = squared
            parts = []
            for part in coordinates:
                residual = residual - part.square().sum(2, keepdim=True)
                parts += [part, (residual.clamp_min(0) + rounding).sqrt()]
            sketches = torch.cat(parts, 2)
        unit = 1.0
        if self._kernel.sketches is torch.int16:
            # no number is larger than the largest norm
            unit = (largest + TINY) / LARGEST_INTEGER
            sketches = (sketches / unit).round_()
        # two integers of 16 bits, or a float, are a word
        words = sketches.to(self._kernel.sketches).flatten().view(torch.float32)
        return Sketches(features, words.unflatten(0, (*features.shape[:2], -1)), largest, unit)
