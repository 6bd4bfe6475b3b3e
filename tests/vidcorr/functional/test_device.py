"""Devices that this machine need not have, ranks, and precisions that are set and restored."""

from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
import torch

from vidcorr.functional import device
from vidcorr.functional.device import computing_in, fastest_precision, workspace_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PLACES = ("cuda", "mkldnn", "cudnn")


def test_a_gpu_gives_a_share_of_its_memory_within_limits(monkeypatch):
    found = [workspace_of(CPU) / 2**20]
    for gigabytes in (1, 24, 80):
        properties = SimpleNamespace(total_memory=gigabytes * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", {GPU: properties}.get)
        found.append(workspace_of(GPU) / 2**20)
    assert found == [64, 64, 768, 1024]


def test_the_fastest_type_is_one_that_the_device_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "card")
    found = []
    for capability, has_avx, has_amx in (((7, 5), False, False), ((8, 0), True, False), ((9, 0), False, True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", Mock(return_value=capability))
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", Mock(return_value=has_avx))
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", Mock(return_value=has_amx))
        found.append([fastest_precision.__wrapped__(name) for name in ("cuda", "cpu", "mps")])
    other = "float32", "nothing else is tried on mps"
    newer = [("bfloat16", "card has it"), ("bfloat16", "this CPU has it"), other]
    older = [("float16", "card is older than Ampere"), ("float32", "this CPU has no bfloat16 instructions"), other]
    assert found == [older, newer, newer]


def test_the_gpu_and_the_rank_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(device, "dist", Mock(**{"get_world_size.return_value": 4, "get_rank.return_value": 2}))
    found = []
    for answers in ((True, True), (True, False), (False, True)):
        monkeypatch.setattr(torch.cuda, "is_available", Mock(return_value=answers[0]))
        device.dist.is_available.return_value, device.dist.is_initialized.return_value = answers
        found.append((device.gpu_or_cpu(), device.world_size_and_rank()))
    assert found == [(torch.device("cuda", 3), (4, 2)), (torch.device("cuda", 3), (1, 0)), (CPU, (1, 0))]


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
