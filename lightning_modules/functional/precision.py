"""The data type in which a device computes a network fastest."""

import os
import platform
import time
from functools import cache

import torch

WITH_BFLOAT16 = ("DEFAULT", "ALL", "BF16", "FP16", "AMX", "AVX10")
"""Parts of the values of oneDNN's limit on instruction sets that leave bfloat16 to it."""


@cache
def fastest_precision(device: str) -> tuple[str, str]:
    """Return the data type in which a network is fastest, and why.

    Args:
        device: type of the device: "cpu", "cuda", or another.

    Returns:
        "float32", "bfloat16" or "float16" (GPUs before Ampere), and the reason in words.
    """
    if device == "cuda":
        name, ampere = torch.cuda.get_device_name(), torch.cuda.get_device_capability() >= (8, 0)
        return ("bfloat16", f"{name} has it") if ampere else ("float16", f"{name} is older than Ampere")
    if device != "cpu":
        return "float32", f"nothing else is tried on {device}"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    if not any(part in limit for part in WITH_BFLOAT16):
        return "float32", f"ONEDNN_MAX_CPU_ISA={limit} leaves no bfloat16 instructions"
    if platform.machine() in ("x86_64", "AMD64"):
        has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return ("bfloat16", "this CPU has it") if has else ("float32", "this CPU has no bfloat16 instructions")
    ratio = bfloat16_cost()  # no check of torch's covers all others
    return "bfloat16" if ratio < 0.9 else "float32", f"a convolution takes {ratio:.1f} times as long in bfloat16"


def bfloat16_cost() -> float:
    """Return how many times as long as in float32 a convolution takes in bfloat16 on this CPU; measured in 50 ms."""
    image, weight = torch.randn(4, 64, 28, 28), torch.randn(64, 64, 3, 3)
    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = image.to(dtype), weight.to(dtype)
        times: list[float] = []
        end = time.perf_counter() + 0.025
        while len(times) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            torch.nn.functional.conv2d(left, right, padding=1)
            times.append(time.perf_counter() - began)
        best[dtype] = min(times)
    return best[torch.bfloat16] / best[torch.float32]
