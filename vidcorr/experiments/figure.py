"""Frames of a benchmark with the masks of several results: rows of methods and the truth, columns of frames."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..benchmarks.masks import MaskBenchmark
from ..datasets import MaskSequence
from ..results.pictures.animations import WIDTH, overlay_masks_small
from ..results.pictures.overlays import Picture, evenly_spaced
from ..results.records import results_in
from ..videos.files import require_one_of
from ..videos.masks import VOID, read_mask
from .benchmark_choice import read_on

COLUMNS = 5
"""Number of frames of a sequence, unless the user names frames."""
LABEL = 180
"""Width of the rows' names, pixels."""
HEAD = 36
"""Height of the columns' names, pixels."""
GAP = 4
"""White space after each picture, pixels."""
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
        ValueError: without results of the benchmark; for an unknown sequence, or a benchmark without masks.
        DataError: for data or predictions that are missing or faulty.
    """
    (choice,) = read_on([on])
    benchmark = choice.build()
    if not isinstance(benchmark, MaskBenchmark):
        raise ValueError(f"figure: {benchmark.name} has no masks, and nothing else is drawn; --on names a set of masks")
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
    lines: list[list[Picture]] = [[lettered(sequence.name, LABEL, HEAD)]]
    lines[0] += [lettered(f"frame {t}", WIDTH, HEAD) for t in columns]
    for name, predictions in rows:
        masks = []
        for t in columns:
            file = predictions / sequence.video / sequence.folder / f"{sequence.frames[t].stem}.png"
            masks.append(torch.from_numpy(read_mask(file)))
        lines.append(_line(name, sequence, columns, masks))
    truth = []
    for t in columns:
        mask = sequence.read_mask(t) if t in sequence.annotated else torch.zeros(sequence.size, dtype=torch.uint8)
        truth.append(mask.where(mask != VOID, 0))
    lines.append(_line("truth", sequence, columns, truth))
    return np.concatenate([np.concatenate([_spaced(picture) for picture in line], axis=1) for line in lines])


def _line(name: str, sequence: MaskSequence, columns: Sequence[int], masks: Sequence[Tensor]) -> list[Picture]:
    """Return the row's name and its frames with masks."""
    pictures = [overlay_masks_small(sequence.frame(t), mask) for t, mask in zip(columns, masks, strict=True)]
    return [lettered(name, LABEL, pictures[0].shape[0]), *pictures]


def _spaced(picture: Picture) -> Picture:
    """Return a picture with a white margin at the right and below."""
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def lettered(text: str, width: int, height: int) -> Picture:
    """Return a white picture with a text in its middle, in as many lines as it needs."""
    image = Image.new("RGB", (width, height), "white")
    lines = "\n".join(wrap(text.replace("+", " +"), width // 10))  # a protocol breaks before a change
    font = ImageFont.load_default(20)
    ImageDraw.Draw(image).multiline_text((width / 2, height / 2), lines, "black", font, anchor="mm", align="center")
    return np.asarray(image)
