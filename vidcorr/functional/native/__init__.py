"""C++ functions that setup.py compiled for kinds of processors; without a compiler torch computes the same."""

import ctypes
import functools
import hashlib
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SWITCH = "VIDCORR_NATIVE"
"""Environment variable that turns the compiled functions off if it is 0."""

VARIANTS_OF_PROCESSORS = {"AVX512": ["avx512_vnni", "avx512", "avx2"], "AVX2": ["avx2"]}
VARIANTS = VARIANTS_OF_PROCESSORS.get(torch.backends.cpu.get_cpu_capability(), ["other"])
"""Kinds of compiled files that this processor runs, the fastest first."""
if VARIANTS[0] == "avx512_vnni" and not torch.cpu._is_vnni_supported():
    del VARIANTS[0]


def compiled_variant() -> str | None:
    """Return the fastest compiled kind for this processor; None without one, or with `VIDCORR_NATIVE=0`."""
    if os.environ.get(SWITCH) == "0":
        return None
    for variant in VARIANTS:
        if library_of(variant).is_file():
            return variant
    return None


@functools.cache
def library_of(variant: str) -> Path:
    """Return the path of the file that is compiled from the present sources for a kind of processor."""
    folder = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=4)
    for source in sorted([*folder.glob("*.cpp"), *folder.glob("*.h")]):
        digest.update(source.read_bytes())
    return folder / f"kernels.{variant}.{digest.hexdigest()}.so"


def members(kind: type, names: str) -> list[tuple[str, type]]:
    """Return fields of one type for a structure of ctypes; `names` are separated by spaces."""
    return [(name, kind) for name in names.split()]


def run(
    name: str, variant: str, kind: type[ctypes.Structure], values: Mapping[str, object], items: int, together: int = 1
) -> int:
    """Call a compiled function on ranges of the items, on as many threads as torch has; return the sum of its counts.

    Args:
        name: name of a function of (address of its arguments, first item, end of the items).
        variant: result of `compiled_variant`.
        values: field of the structure → number; or tensor, whose address the function gets; or None, a null pointer.
        together: number of items that the function takes together; ranges begin at multiples of it.
    """
    addresses = {field: value.data_ptr() for field, value in values.items() if isinstance(value, Tensor)}
    arguments = kind(**{**values, **addresses})
    function = functools.partial(_function(name, variant), ctypes.addressof(arguments))
    # no group of items is divided between threads
    groups = math.ceil(items / together)
    threads = min(torch.get_num_threads(), groups)
    if threads == 1:
        return int(function(0, items))
    # the threads' ranges begin and end here: of whole groups, and of almost equal length
    edges = [min(items, together * (i * groups // threads)) for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(function, edges[:-1], edges[1:]))


@functools.cache
def _function(name: str, variant: str) -> Any:
    """Return a compiled function by its name; ctypes lets other threads run during a call."""
    function = getattr(ctypes.CDLL(str(library_of(variant))), name)
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int64
    return function
