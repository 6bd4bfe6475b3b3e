"""Devices that this machine need not have, ranks, and precisions that are set and restored."""

from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
import torch

from vidcorr.functional import device
from vidcorr.functional.device import computing_in, fastest_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PLACES = ("cuda", "mkldnn", "cudnn")


def test_the_fastest_type_is_one_that_the_device_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", Mock())
    found = []
    for capability, has_avx, has_amx in (((7, 5), False, False), ((8, 0), True, False), ((9, 0), False, True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", Mock(return_value=capability))
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", Mock(return_value=has_avx))
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", Mock(return_value=has_amx))
        found.append([fastest_precision.__wrapped__(name)[0] for name in ("cuda", "cpu", "mps")])
    newer = ["bfloat16", "bfloat16", "float32"]
    assert found == [["float16", "float32", "float32"], newer, newer]


def test_copies_to_and_from_a_gpu_wait_for_nothing_but_the_copy_itself(monkeypatch):
    on_cpu, on_gpu, event = Mock(device=CPU), Mock(device=GPU), Mock()
    monkeypatch.setattr(torch, "as_tensor", lambda tensor: tensor)
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    for tensor in (on_cpu, on_gpu):
        device.to_device(tensor, GPU)
    device.to_device(on_cpu, CPU)
    assert device.PendingCopy(on_gpu).wait() is on_gpu.to.return_value
    assert event.mock_calls == [call.record("stream of cuda"), call.synchronize()]
    pinned = call.pin_memory()
    assert on_cpu.mock_calls == [pinned, pinned.to(GPU, non_blocking=True), call.to(CPU, non_blocking=False)]
    assert on_gpu.mock_calls == [call.to(GPU, non_blocking=True), call.to("cpu", non_blocking=True)]
    assert device.PendingCopy(on_cpu).wait() is on_cpu.to.return_value
    assert len(event.mock_calls) == 2


def state():
    matmul = torch.get_float32_matmul_precision()
    return matmul, torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def test_precisions_are_set_and_restored(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    before, found = state(), {}
    with torch.autocast("cpu", torch.float16):
        for precision, where in (("float32", CPU), ("tf32", CPU), ("tf32", GPU), ("bfloat16", CPU)):
            with computing_in(precision, where):
                found[precision, where.type] = state()
    assert found == {
        ("float32", "cpu"): ("highest", False, False, torch.bfloat16),
        ("tf32", "cpu"): ("highest", False, False, torch.bfloat16),
        ("tf32", "cuda"): ("high", True, True, torch.float16),
        ("bfloat16", "cpu"): ("highest", False, True, torch.bfloat16),
    }
    assert state() == before


@pytest.mark.parametrize(("precision", "expected"), [("tf32", "tf32"), ("float32", "ieee")])
def test_precisions_of_the_newer_api_are_set_and_restored(precision, expected, monkeypatch):
    """Torch refuses the older API once the newer was used, which it cannot unset: a stand-in is used here."""
    parts = {(place, kind): SimpleNamespace(fp32_precision="own") for place in PLACES for kind in ("matmul", "conv")}
    backends = {place: SimpleNamespace(matmul=parts[place, "matmul"], conv=parts[place, "conv"]) for place in PLACES}
    monkeypatch.setattr(torch, "backends", SimpleNamespace(**backends))
    monkeypatch.setattr(torch, "get_float32_matmul_precision", Mock(side_effect=RuntimeError))
    with computing_in(precision, GPU):
        found = {where for where, part in parts.items() if part.fp32_precision == expected}
    assert found == {("cuda", "matmul"), ("mkldnn", "matmul"), ("cudnn", "conv"), ("mkldnn", "conv")}
    assert {part.fp32_precision for part in parts.values()} == {"own"}
