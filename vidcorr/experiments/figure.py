"""The masks of results side by side: rows of methods and the truth, columns of frames."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from matplotlib.figure import Figure

from ..benchmarks.masks import MaskBenchmark, mask_file, predicted_frames
from ..datasets import MaskSequence
from ..results.pictures.animations import overlay_masks_small
from ..results.pictures.overlays import Picture, evenly_spaced
from ..results.pictures.plots import Block, draw_rows
from ..results.records import named_results
from ..results.result import Result
from ..videos.files import DataError, require_one_of
from ..videos.masks import VOID, read_mask
from .benchmark_choice import read_on

COLUMNS = 5
"""Number of frames of a sequence, unless the user names frames."""
SHOWN = 2
"""Number of sequences, unless the user names sequences."""


def figure(results: Sequence[str | Path], on: str, sequences: Sequence[str] = (), frames: Sequence[int] = ()) -> Figure:
    """Draw the masks of results: blocks of sequences, a row per result and the truth, a column per frame.

    Args:
        results: folders of results, or folders above; `NAME=FOLDER` names the row; different protocols are stated.
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
    for name in sequences:
        require_one_of(by_name, sequence=name)
    names = list(sequences)
    if not names:
        evaluated = set.intersection(*(set(result.sequences) for *_, result in rows))
        names = [name for name, sequence in by_name.items() if sequence.video in evaluated][:SHOWN]
    if not names:
        raise ValueError(f"figure: the results have no sequence of {on} in common")
    return draw_rows([_block(by_name[name], benchmark.digests[name], rows, frames) for name in names])


def _rows(results: Sequence[str | Path], data_set: str) -> list[tuple[str, Path, Result]]:
    """Return name, folder and result of the results of a benchmark."""
    shown: list[tuple[str, Path, Result]] = []
    for text in results:
        name, of_text = named_results(text)
        for folder, result in of_text.items():
            if result.data_set == data_set:
                shown.append((name or str(result.network), folder, result))
    protocols = {result.stage.protocol.shared_name for *_, result in shown}
    rows: list[tuple[str, Path, Result]] = []
    for name, folder, result in shown:
        by_protocol = f" by {result.stage.protocol.shared_name}" if len(protocols) > 1 else ""
        rows.append((f"{name}{by_protocol}", folder, result))
    return rows


def _block(
    sequence: MaskSequence, digest: str, rows: Sequence[tuple[str, Path, Result]], frames: Sequence[int]
) -> Block:
    """Draw a sequence: its frames with the masks of each result, then with the truth where the data have it."""
    for t in frames:
        if not 0 <= t < sequence.num_frames:
            raise ValueError(f"figure: {sequence.name} has no frame {t}; its last frame is {sequence.num_frames - 1}")
    predicted = sorted(predicted_frames(sequence))
    columns = frames or [predicted[index] for index in evenly_spaced(len(predicted), COLUMNS)]
    lines = []
    for name, folder, result in rows:
        if result.digests.get(sequence.name, digest) != digest:
            raise DataError(f"{folder}: its {sequence.name} has other frames or annotations than the data of --on")
        pictures = _predicted_pictures(sequence, folder, columns)
        lines.append(([name, *_score_of(result, sequence.video)], pictures))
    truth = []
    for t in columns:
        mask = sequence.read_mask(t) if t in sequence.annotated else torch.zeros(sequence.size, dtype=torch.uint8)
        truth.append(overlay_masks_small(sequence.frame(t), mask.where(mask != VOID, 0)))
    lines.append((["truth"], truth))
    return Block(sequence.name, [f"frame {t}" for t in columns], lines)


def _predicted_pictures(sequence: MaskSequence, folder: Path, frames: Sequence[int]) -> list[Picture]:
    """Draw frames with the masks that the folder of a result holds."""
    pictures = []
    for t in frames:
        file = folder / "predictions" / mask_file(sequence, t)
        if not file.is_file():
            raise DataError(f"{file}: no such prediction: evaluate with an output folder, which saves predictions")
        pictures.append(overlay_masks_small(sequence.frame(t), torch.from_numpy(read_mask(file))))
    return pictures


def _score_of(result: Result, video: str) -> list[str]:
    """Return the first score of a sequence in words, in a list; an empty list if the result has none."""
    for key in result.main_scores()[:1]:
        values = result.values(key).get(video)
        if values:
            return [f"{key.removesuffix('-Mean')} {result.printed(key, fmean(values))}"]
    return []
