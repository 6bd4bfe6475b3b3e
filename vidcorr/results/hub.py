"""Scores in the form that model pages and leaderboards of the Hugging Face hub read: files in `.eval_results/`."""

from collections.abc import Iterable
from math import isnan
from typing import Any

import yaml  # type: ignore[import-untyped]

from .formats import one_line
from .result import Result

OWNER = "OWNER"
"""Stands for the owner of the hub's data set, and of the model, whom no result knows."""


def entry(result: Result, score: str) -> dict[str, Any]:
    """Return the entry of a score, in per cent or its unit, with its protocol and digests for a verification."""
    protocol = result.stage.protocol
    declared = result.declaration(score)
    value = result.scores[score]
    version = result.provenance.versions.get("vidcorr", "")
    notes = list(result.conditions)
    if protocol.name:
        notes.insert(0, f"protocol {protocol.name} ({protocol.digest})")
    if declared.unit:
        notes.append(f"in {declared.unit}")
    if declared.direction == "less":
        notes.append("less is better")
    notes += result.doubts
    if result.network.digest:
        notes.append(f"weights {result.network.digest}")
    data_set = {"id": f"{OWNER}/{result.data_set}", "task_id": score}
    printed = round(declared.factor * value, 2)
    found: dict[str, Any] = {"dataset": data_set, "value": printed, "notes": one_line(", ".join(notes))}
    if result.provenance.date:
        found["date"] = result.provenance.date
    found["source"] = {"url": f"https://huggingface.co/{OWNER}/NAME", "name": f"vidcorr {version}".strip()}
    return found


def hub_text(scores: Iterable[tuple[Result, str]]) -> str:
    """Return entries of results and their scores as YAML; a score that is undefined is left out."""
    entries = [entry(result, score) for result, score in scores if not isnan(result.scores[score])]
    text: str = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120)
    return text
