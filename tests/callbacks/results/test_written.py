"""Provenance of results: command, machine and versions, with or without torch."""

import json
import sys
from importlib.metadata import version

from callbacks.results.written import provenance


def test_command_and_versions(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vidcorr", "score"])
    found = provenance()
    assert found["command"] == ["vidcorr", "score"]
    assert found["versions"]["torch"] == version("torch")
    assert list(found["machine"]) == ["system", "python", "processor", "cores", "compiled_search", "gpus"]
    json.dumps(found)


def test_gpus_are_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"GPU {number}")
    assert provenance()["machine"]["gpus"] == ["GPU 0", "GPU 1"]
