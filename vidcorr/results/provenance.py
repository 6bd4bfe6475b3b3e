"""Provenance of a result: date, command, machine and versions."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from pydantic import Field

from .checked import Exact, Facts, Items


class Provenance(Exact):
    """Date, command, machine, package versions and a digest of the user's own code of a result."""

    date: str = ""
    command: Items[str] = ()
    machine: Facts = Field(default={})
    versions: dict[str, str] = Field(default={})
    own_code: str = ""

    @classmethod
    def now(cls) -> Self:
        """Return the provenance of a result that this process makes now.

        GPUs and the native kernel are recorded only if torch is imported; without torch neither was used.
        """
        gpus: list[str] = []
        compiled = False
        if "torch" in sys.modules:
            import torch

            from ..functional.native import compiled_variant

            compiled = compiled_variant() is not None
            gpus = list(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))
        cpus = Path("/proc/cpuinfo")
        model = re.search(r"^model name\s*: (.+)", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
        processor = model[1] if model else platform.machine()
        machine = {"system": platform.platform(), "python": platform.python_version(), "processor": processor}
        machine |= {"cores": os.cpu_count(), "compiled_search": compiled, "gpus": gpus}
        versions = {}
        for package in ("vidcorr", "torch"):
            try:
                versions[package] = version(package)
            except PackageNotFoundError:  # a checkout on the path; its results are kept
                versions[package] = "not installed"
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        command = (Path(sys.argv[0]).name, *sys.argv[1:])  # other machines lack the program's folder
        return cls(date=date, command=command, machine=machine, versions=versions)
