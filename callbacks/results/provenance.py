"""Provenance of a file of results: date, command, machine and versions."""

import os
import platform
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Return the date, command, machine and versions behind a file of results.

    GPUs and the native kernel are reported by processes that have imported torch; others can have used neither.
    """
    gpus: list[str] = []
    compiled = False
    if "torch" in sys.modules:
        import torch

        from lightning_modules.functional.propagation.screened_search import compiled_search_runs

        compiled = compiled_search_runs()
        if torch.cuda.is_available():
            gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "compiled_search": compiled,
            "gpus": gpus,
        },
        "command": sys.argv,
        "versions": {name: version(name) for name in ("vidcorr", "torch", "pytorch-lightning")},
    }


def processor() -> str:
    """Return the name of the processor; its architecture where the system does not tell the name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, names), "") or platform.processor() or platform.machine()
