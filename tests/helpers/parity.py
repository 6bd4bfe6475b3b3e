"""The rows of docs/results/parity.yaml, which docs/parity.md explains, and the tests that they name."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, list[dict[str, str]]] = yaml.safe_load((ROOT / "docs/results/parity.yaml").read_text("utf-8"))
STATUSES = ("equal", "code", "text", "own", "missing")
"""Explained at the head of the rows' file."""


def missing_tests(names: str) -> list[str]:
    """Return those of the tests `FILE` or `FILE::NAME`, parted by blanks, that do not exist."""
    missing = []
    for name in names.split():
        file, _, test = name.partition("::")
        path = ROOT / file
        is_there = path.is_file() and (not test or f"def {test}(" in path.read_text("utf-8"))
        if not is_there:
            missing.append(name)
    return missing
