"""`precision: auto`: the data type in which this machine is fastest."""

import pytest
import torch

from callbacks.command_line.runs import Trainer
from vidcorr.functional import PropagationProtocol
from vidcorr.functional.device import fastest_precision

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}


@pytest.fixture(params=["bfloat16", "float32"])
def fastest(request, monkeypatch):
    """A CPU with bfloat16 instructions, whatever this one has; and the same one limited to AVX2."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", {"bfloat16": "AVX512_CORE_BF16", "float32": "AVX2"}[request.param])
    fastest_precision.cache_clear()
    yield request.param
    fastest_precision.cache_clear()


def test_auto_is_what_the_cpu_has(fastest):
    trainer = Trainer(precision="auto", **QUIET)
    assert trainer.precision == {"bfloat16": "bf16-mixed", "float32": "32-true"}[fastest]
    assert trainer.precision_reason.startswith(" (auto: ")


def test_bfloat16_by_hand_says_what_it_costs_where_it_is_slow(fastest, capsys, caplog):
    caplog.set_level("INFO")
    assert Trainer(precision="bf16-mixed", **QUIET).precision == "bf16-mixed"
    told = [record.message for record in caplog.records if "times as long" in record.message]
    assert len(told) == (fastest == "float32")


def test_a_protocol_notes_what_auto_became(fastest):
    vfs = PropagationProtocol.named("vfs")
    auto = PropagationProtocol.named("vfs+backbone_precision=auto")
    assert auto == vfs.with_changes(backbone_precision="auto") == vfs.with_changes(backbone_precision=fastest)
    assert auto.digest() == vfs.with_changes(backbone_precision=fastest).digest()


def test_gpus_before_ampere_have_float16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    for capability, expected in (((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
        fastest_precision.cache_clear()
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert fastest_precision("cuda")[0] == expected
    fastest_precision.cache_clear()
