"""Results and rows of a benchmark run in its folder."""

import csv
import json
from pathlib import Path
from typing import Any


def results_of(folder: Path) -> dict[str, Any]:
    """Return the content of results.json."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return content


def write_results(folder: Path, scores: dict[str, float], **about: Any) -> Path:
    """Write a results.json, of DAVIS where nothing else is said; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"benchmark": "davis", "scores": scores, **about}))
    return folder


def rows_of(folder: Path, name: str = "per_sequence.csv") -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader((folder / name).open()))
