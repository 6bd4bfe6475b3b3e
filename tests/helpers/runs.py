"""Results and rows that a benchmark run left in its folder."""

import csv
import json
from pathlib import Path
from typing import Any


def results_of(folder: Path) -> dict[str, Any]:
    """Return the content of results.json."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return content


def rows_of(folder: Path, name: str = "per_sequence.csv") -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader((folder / name).open()))
