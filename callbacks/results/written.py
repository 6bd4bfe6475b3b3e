"""The files that a benchmark run leaves, written: results.json with its provenance, a CSV with a row per sequence."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datamodules.reading.files import csv_of_records, write_atomically

from .rendering import percent, print_table

Row = dict[str, Any]
"""Column → value of a sequence (or object): a row of per_sequence.csv."""


@dataclass
class Results:
    """The outcome of one benchmark run.

    Args:
        benchmark: its name.
        scores: key → value, fractions, as they are logged.
        rows: one per sequence (and object); the columns are the keys of the first.
        metadata: what the scores depend on: protocol with name, fields and hash, stage, stride, sequences, seconds.
    """

    benchmark: str
    scores: Mapping[str, float]
    rows: Sequence[Row]
    metadata: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write results.json and per_sequence.csv; each is written atomically.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "benchmark": self.benchmark,
            "scores": dict(self.scores),
            **self.metadata,
            **provenance(),
        }
        write_atomically(folder / "results.json", json.dumps(content, indent=2) + "\n")
        if self.rows:
            write_atomically(folder / "per_sequence.csv", csv_of_records(self.rows))

    def print(self) -> None:
        """Print the network, the feature grid if the benchmark reports it, and one line per stage with the scores."""
        if network := self.metadata.get("network"):
            grid = self.metadata.get("grid")
            grids = f"; {', '.join([grid] if isinstance(grid, str) else grid)}" if grid else ""
            print(f"{self.benchmark}: {network}{grids}")
        if not self.scores:
            print("no ground truth, nothing to score")
            return
        lines: dict[str, dict[str, float]] = {}
        for key, score in self.scores.items():
            stage, _, name = key.rpartition("/")
            lines.setdefault(f"{self.benchmark} {stage}".rstrip(), {})[name] = score
        columns = list(dict.fromkeys(name for scores in lines.values() for name in scores))
        rows = [[line, *(percent(scores.get(name)) for name in columns)] for line, scores in lines.items()]
        print_table(["", *columns], rows)


def require_writable(folder: Path) -> None:
    """Make a folder and check that it can be written, before hours of work.

    Raises:
        OSError: naming the folder, if it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


def provenance() -> dict[str, Any]:
    """Return the date, command, machine and versions behind a file of results.

    GPUs and the native kernel are reported by processes that have imported torch; others can have used neither.
    """
    gpus: list[str] = []
    compiled = False
    if "torch" in sys.modules:
        import torch

        from lightning_modules.functional.propagation.memory import kernel

        compiled = kernel() is not None
        if torch.cuda.is_available():
            gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    file = Path("/proc/cpuinfo")
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": next(filter(None, names), "") or platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "compiled_search": compiled,
            "gpus": gpus,
        },
        "command": sys.argv,
        "versions": {name: version(name) for name in ("vidcorr", "torch", "pytorch-lightning")},
    }
