"""The masks of results side by side: rows of methods and the truth, columns of frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...benchmarks.masks import MaskBenchmark, mask_file, predicted_frames
from ...datasets import MaskSequence
from ...results.pictures.animations import overlay_masks_small
from ...results.pictures.overlays import evenly_spaced
from ...results.pictures.plots import Block, draw_rows
from ...results.records import named_results
from ...results.result import Result
from ...videos.files import DataError, require_one_of
from ...videos.masks import VOID, read_mask
from ..runs.benchmark_choice import read_on

COLUMNS = 5
"""Number of frames of a sequence, unless the user names frames."""
SHOWN = 2
"""Number of sequences, unless the user names sequences."""


class ResultRow(NamedTuple):
    """A row of pictures: name of the row, folder of the result, and the result."""

    name: str
    folder: Path
    result: Result


def figure(results: Sequence[str | Path], on: str, sequences: Sequence[str] = (), frames: Sequence[int] = ()) -> Figure:
    """Draw the predicted masks of results: a block per sequence, with a row per result and a column per frame.

    The last row of a block holds the annotated masks.

    Args:
        results: folders of results, or folders above; `NAME=FOLDER` names the row. Rows name their protocols if these
            differ.
        on: `NAME=FOLDER` of the benchmark with its data; results of other benchmarks are left out.
        sequences: names of sequences; empty: the first two that all results have.
        frames: indices of frames, from 0; empty: five, evenly spaced.

    Returns:
        The figure; a row's name has the score of the sequence if the result has one.

    Raises:
        ValueError: without results of the benchmark, or a sequence that all have; for an unknown sequence or frame, or
            a benchmark without masks.
        DataError: for data or predictions that are missing or faulty.
    """
    (choice,) = read_on([on])
    benchmark = choice.build()
    if not isinstance(benchmark, MaskBenchmark):
        raise ValueError(f"figure: {benchmark.name} has no masks, and nothing else is drawn; --on names a set of masks")
    rows = _rows(results, benchmark.name)
    if not rows:
        raise ValueError(f"figure: no result of {benchmark.name}")
    by_name = {sequence.name: sequence for sequence in benchmark.sequences}
    in_all = set.intersection(*(set(row.result.sequences) for row in rows))
    names = sequences or [each.name for each in benchmark.sequences if each.name in in_all][:SHOWN]
    if not names:
        raise ValueError(f"figure: the results have no sequence of {on} in common")
    for name in names:  # `_block` refuses a sequence that a result lacks
        require_one_of(by_name, sequence=name)
    return draw_rows([_block(by_name[name], benchmark.digests[name], rows, frames) for name in names])


def _rows(results: Sequence[str | Path], data_set: str) -> list[ResultRow]:
    """Return a row per result on a data set; if the results' protocols differ, names of rows end with "by PROTOCOL".

    Args:
        results: `FOLDER` or `NAME=FOLDER`.
        data_set: name of the data set, `davis`.
    """
    found: list[ResultRow] = []
    for text in results:
        name, of_text = named_results(text)
        for folder, result in of_text.items():
            if result.data_set == data_set:
                found.append(ResultRow(name or str(result.network), folder, result))
    protocols = {row.result.stage.protocol.shared_name for row in found}
    if len(protocols) < 2:
        return found
    return [row._replace(name=f"{row.name} by {row.result.stage.protocol.shared_name}") for row in found]


def _block(sequence: MaskSequence, digest: str, rows: Sequence[ResultRow], frames: Sequence[int]) -> Block:
    """Draw a sequence: a row per result with the predicted masks, and a last row with the annotated masks.

    Args:
        sequence: the sequence.
        digest: digest of its frames and annotations, which the results must have.
        rows: the results.
        frames: indices of frames; empty: five of the predicted frames, evenly spaced.

    Raises:
        ValueError: for an index that the sequence lacks.
        DataError: if a result is of other data, or lacks a prediction.
    """
    for t in frames:
        if not 0 <= t < sequence.num_frames:
            raise ValueError(f"figure: {sequence.name} has no frame {t}; its last frame is {sequence.num_frames - 1}")
    predicted = sorted(predicted_frames(sequence))
    columns = frames or [predicted[index] for index in evenly_spaced(len(predicted), COLUMNS)]
    lines = []
    for name, folder, result in rows:
        if result.digests.get(sequence.name, digest) != digest:  # a result without the digest is not refused
            raise DataError(f"{folder}: its {sequence.name} has other frames or annotations than the data of --on")
        pictures = [overlay_masks_small(sequence.frame(t), _predicted(sequence, folder, t)) for t in columns]
        names = [name]
        for key in result.main_scores()[:1]:  # empty for a result without scores, of data without truth
            scores = result.scores_by_sequence(key)
            if sequence.name in scores:
                names.append(f"{key.removesuffix('-Mean')} {result.texts({key: scores[sequence.name]})[key]}")
        lines.append((names, pictures))
    truth = []
    for t in columns:  # frames without an annotation, and void, are drawn bare
        mask = sequence.read_mask(t) if t in sequence.annotated else torch.zeros(sequence.size, dtype=torch.uint8)
        truth.append(overlay_masks_small(sequence.frame(t), mask.where(mask != VOID, 0)))
    lines.append((["truth"], truth))
    return Block(sequence.name, [f"frame {t}" for t in columns], lines)


def _predicted(sequence: MaskSequence, folder: Path, t: int) -> Tensor:
    """Read the mask of ids `(H, W)` that a result's folder holds for frame `t`.

    Raises:
        DataError: if there is no such file.
    """
    file = folder / "predictions" / mask_file(sequence, t)
    if not file.is_file():
        raise DataError(f"{file}: no such prediction: evaluate with an output folder, which saves predictions")
    return torch.from_numpy(read_mask(file))
