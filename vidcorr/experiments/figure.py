"""Frames of a benchmark with the masks of several results: rows of methods and the truth, columns of frames."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..datasets import MaskSequence
from ..results.pictures.animations import overlay_masks_small
from ..results.pictures.overlays import Picture, as_picture, contact_sheet, evenly_spaced
from ..results.records import last_evaluations, results_in
from ..results.result import Result
from ..videos.masks import VOID, read_mask
from .benchmark_choice import read_on

Rows = dict[str, tuple[Path, Result]]
"""Name of a row → folder and result."""
COLUMNS = 5
"""Number of frames of a sequence, unless the user names frames."""
SHOWN = 2
"""Number of sequences, unless the user names sequences."""
FONT_SIZE = 16


def figure_of(
    results: Sequence[str | Path], sequences: Sequence[str] = (), frames: Sequence[int] = (), on: str = ""
) -> Picture:
    """Draw the masks of results: blocks of sequences, a row per result and the truth, a column per frame.

    Args:
        results: folders of results, or folders above; `NAME=FOLDER` names the row.
        sequences: names of sequences; empty: the first two.
        frames: indices of frames, from 0; empty: five, evenly spaced.
        on: `NAME=FOLDER` of the benchmark with its data, which chooses among the results; empty: the benchmark of the
            results, in its config's folder.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        ValueError: for results of several benchmarks, or sequences without masks.
        DataError: for data or predictions that are missing or faulty.
    """
    rows = _rows(results, on.partition("=")[0])
    _, first = next(iter(rows.values()))
    (configured,) = read_on([on or first.data_set])
    known = [field.name for field in fields(configured.kind)]
    stated = {name: value for name, value in first.data.items() if name in known}
    rules = stated.get("rules")
    if isinstance(rules, dict):  # a result states their source too
        stated["rules"] = rules["name"]
    benchmark = configured.with_arguments(**stated).build()
    found = {sequence.name: sequence for sequence in benchmark.sequences}
    blocks = [_block(found[name], rows, frames) for name in sequences or first.sequences[:SHOWN]]
    return np.concatenate(blocks)


def _rows(results: Sequence[str | Path], benchmark: str) -> Rows:
    """Return the rows; names of results by different protocols state their protocols, equal names their folders."""
    found: list[tuple[str, Path, Result]] = []
    for text in results:
        name, of_text = results_in(text)
        for folder, result in last_evaluations(of_text).items():
            if benchmark in ("", result.data_set):
                found.append((name or str(result.network), folder, result))
    benchmarks = {result.data_set for _, _, result in found}
    if len(benchmarks) != 1:
        known = ", ".join(sorted(benchmarks)) or "another benchmark"
        raise ValueError(f"figure: results of {known}; choose one by --on")
    protocols = {result.stage.protocol.shared_name for _, _, result in found}
    if len(protocols) > 1:
        print(f"figure: the results have different protocols: {', '.join(sorted(protocols))}")
    names = [name for name, _, _ in found]
    rows: Rows = {}
    for name, folder, result in found:
        lines = [name]
        if len(protocols) > 1:
            lines.append(result.stage.protocol.shared_name)
        if names.count(name) > 1:
            lines.append(str(folder))
        rows["\n".join(lines)] = folder, result
    return rows


def _block(sequence: Any, rows: Rows, frames: Sequence[int]) -> Picture:
    """Draw a sequence, with the names of the rows on the left and the numbers of frames above."""
    if not isinstance(sequence, MaskSequence):
        raise ValueError(f"{sequence.name}: a figure shows masks; pictures of other labels are in the result's folder")
    scored = list(range(sequence.begin, sequence.num_frames) if sequence.reported is None else sequence.reported)
    columns = frames or [scored[index] for index in evenly_spaced(len(scored), COLUMNS)]
    pictures: list[Picture] = []
    for folder, _ in rows.values():
        for t in columns:
            place = Path(sequence.video, sequence.folder, f"{sequence.frames[t].stem}.png")
            pictures.append(_drawn(sequence, t, torch.from_numpy(read_mask(folder / "predictions" / place))))
    for t in columns:
        grey = as_picture(sequence.frame(t)).mean(2, keepdims=True).repeat(3, 2).astype(np.uint8)
        pictures.append(_drawn(sequence, t, sequence.read_mask(t)) if t in sequence.annotated else grey)
    sheet = contact_sheet(pictures, columns=len(columns))
    names = [*rows, "truth"]
    font = ImageFont.load_default(size=FONT_SIZE)
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    margin = round(max(draw.textbbox((0, 0), name, font=font)[2] for name in names)) + FONT_SIZE
    picture = Image.new("RGB", (margin + sheet.shape[1], 2 * FONT_SIZE + sheet.shape[0]), "white")
    picture.paste(Image.fromarray(sheet), (margin, 2 * FONT_SIZE))
    draw = ImageDraw.Draw(picture)
    for column, t in enumerate(columns):
        head = f"frame {t}" if column else f"{sequence.name}, frame {t}"
        left = margin + column * sheet.shape[1] / len(columns)
        draw.text((left, FONT_SIZE), head, fill="black", font=font, anchor="lm")
    for row, name in enumerate(names):
        middle = 2 * FONT_SIZE + (row + 0.5) * sheet.shape[0] / len(names)
        draw.multiline_text((FONT_SIZE / 2, middle), name, fill="black", font=font, anchor="lm")
    return np.array(picture)


def _drawn(sequence: MaskSequence, t: int, ids: torch.Tensor) -> Picture:
    if ids.shape != sequence.read_mask(sequence.annotated[0]).shape:
        raise ValueError(f"{sequence.name}: a mask has another size than the annotation; name the scored data by --on")
    return overlay_masks_small(sequence.frame(t), ids.where(ids != VOID, 0))
