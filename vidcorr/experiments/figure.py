"""Frames of a benchmark with the masks of several results: rows of methods and the truth, columns of frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..datasets import MaskSequence
from ..results.pictures.animations import WIDTH, overlay_masks_small
from ..results.pictures.overlays import Picture, captioned, contact_sheet, evenly_spaced
from ..results.records import results_in
from ..videos.files import require_one_of
from ..videos.masks import VOID, read_mask
from .benchmark_choice import read_on

COLUMNS = 5
"""Number of frames of a sequence, unless the user names frames."""
SHOWN = 2
"""Number of sequences, unless the user names sequences."""


def figure_of(
    results: Sequence[str | Path], on: str, sequences: Sequence[str] = (), frames: Sequence[int] = ()
) -> Picture:
    """Draw the masks of results: blocks of sequences, a row per result and the truth, a column per frame.

    Args:
        results: folders of results, or folders above; `NAME=FOLDER` names the row; different protocols are stated.
        on: `NAME=FOLDER` of the benchmark with its data; results of other benchmarks are left out.
        sequences: names of sequences; empty: the first two.
        frames: indices of frames, from 0; empty: five, evenly spaced.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        ValueError: without results of the benchmark; for an unknown sequence.
        DataError: for data or predictions that are missing or faulty.
    """
    (choice,) = read_on([on])
    benchmark = choice.build()
    rows = _rows(results, benchmark.name)
    if not rows:
        raise ValueError(f"figure: no result of {benchmark.name}")
    known = {sequence.name: sequence for sequence in benchmark.sequences}
    for name in sequences:
        require_one_of(known, sequence=name)
    names = sequences or list(known)[:SHOWN]
    return np.concatenate([_block(known[name], rows, frames) for name in names])


def _rows(results: Sequence[str | Path], data_set: str) -> list[tuple[str, Path]]:
    """Return name and folder of predictions of the results of a benchmark."""
    shown: list[tuple[str, Path, str]] = []
    for text in results:
        name, of_text = results_in(text)
        for folder, result in of_text.items():
            if result.data_set == data_set:
                shown.append((name or str(result.network), folder / "predictions", result.stage.protocol.shared_name))
    protocols = {protocol for *_, protocol in shown}
    rows: list[tuple[str, Path]] = []
    for name, predictions, protocol in shown:
        by_protocol = f" by {protocol}" if len(protocols) > 1 else ""
        rows.append((f"{name}{by_protocol}", predictions))
    return rows


def _block(sequence: MaskSequence, rows: Sequence[tuple[str, Path]], frames: Sequence[int]) -> Picture:
    """Draw a sequence: its frames with the masks of each result, then with the truth where the data have it."""
    scored = list(range(sequence.begin, sequence.num_frames) if sequence.reported is None else sequence.reported)
    columns = frames or [scored[index] for index in evenly_spaced(len(scored), COLUMNS)]
    pictures: list[Picture] = []
    for name, predictions in rows:
        for t in columns:
            mask = read_mask(predictions / sequence.video / sequence.folder / f"{sequence.frames[t].stem}.png")
            picture = overlay_masks_small(sequence.frame(t), torch.from_numpy(mask))
            pictures.append(captioned(picture, f"{name}, frame {t}"))
    for t in columns:
        truth = torch.zeros(sequence.size, dtype=torch.uint8)
        if t in sequence.annotated:
            truth = sequence.read_mask(t)
        picture = overlay_masks_small(sequence.frame(t), truth.where(truth != VOID, 0))
        pictures.append(captioned(picture, f"{sequence.name}, truth, frame {t}"))
    return contact_sheet(pictures, columns=len(columns), width=WIDTH)
