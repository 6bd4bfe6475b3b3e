"""Scores over training, as rows of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..results.records import last_evaluations, results_in
from ..results.result import Protocol, Result


def history_rows(folders: Sequence[str | Path], scores: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a row per training, evaluation, stage and score.

    Args:
        folders: folders of benchmark results, or folders above; `NAME=FOLDER` names the training.
        scores: keys without a stage, for example `J&F-Mean`; by default all scores.

    Returns:
        Rows with the columns row, seed, benchmark, protocol, digest, stage, score, epoch, step, value (a fraction) and
        folder.

    Raises:
        ValueError: if no result belongs to a training, or has any of the scores.
    """
    rows = []
    for text in folders:
        name, found = results_in(text)
        for place, result in last_evaluations(found).items():
            rows += _rows(name or result.network.row, place, result, scores)
    if not rows:
        wanted = f" with {' or '.join(scores)}" if scores else ""
        raise ValueError(f"table --history: no result{wanted} belongs to a training that was evaluated on its way")
    return rows


def _rows(name: str, place: Path, result: Result, scores: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a training: its evaluations on the way, from the history of its last result.

    Args:
        name: name of the training.
        place: folder of the result.
        result: result of the last evaluation.
        scores: keys without a stage; empty: all scores.
    """
    rows = []
    for past in result.history:
        for key, value in past.scores.items():
            stage, score = result.stage_of(key)
            if scores and score not in scores:
                continue
            protocol = result.stages[stage].protocol if stage in result.stages else Protocol()
            training = {"row": name, "seed": result.network.seed}
            column = {"benchmark": result.benchmark, "protocol": protocol.name, "digest": protocol.digest}
            measured = {"stage": stage, "score": score, "epoch": past.epoch, "step": past.step, "value": value}
            rows.append(training | column | measured | {"folder": str(place)})
    return rows
