"""`predict_video`: track a user's prompt through a video, and write the results."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from .. import signals
from ..backbones import build_encoder
from ..functional import PointProtocol, TrackingProtocol
from ..functional.device import out_of_memory_advice
from ..progress import ProgressReport
from ..results.pictures import Picture
from ..results.pictures.overlays import distinct_colours, draw_boxes, draw_points, overlay_masks, overlay_tracks
from ..results.result import Provenance
from ..videos.files import DataError, FolderLock, remove, write_atomically
from ..videos.images import pixels
from ..videos.mp4 import Mp4Writer
from ..videos.palettes import davis_palette
from ..videos.prompts import BoxPrompt, MaskPrompt, Prompt
from ..videos.stream import FrameStream, PromptedVideo, prompted_sections
from .follow import SHORT_SIDE, AnyProtocol, FollowedPoints, follow_prompted, rules_for
from .frame_encoder import LOWER
from .label_tracker import FrameSizes
from .record import Draw, IndexedMasks, PredictionFile, PredictionTable, SequenceWriter, fixed
from .stopwatch import Stopwatch

RECORD = "prediction.json"
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", "overlay.mp4")
"""All files that `predict` may write into its folder."""


def extractor_for(module: Any, prompt: Prompt, stage: str | None = None, stride: int | None = None) -> nn.Module:
    """Return the extractor of a module that follows a prompt.

    Args:
        module: a LightningModule with `feature_extractor`, the path of its checkpoint, or a network's name.
        prompt: a box is followed by the dilated res5, if the encoder has it and neither the call nor the module names a
            stage or stride.
        stage: name of the features' stage; None is the module's default.
        stride: pixels per feature cell; None is the module's default.
    """
    encoder = build_encoder(module)
    own = getattr(module, "hparams", {})
    named = [stage, stride, own.get("stage"), own.get("stride")]
    if isinstance(prompt, BoxPrompt) and named == [None] * len(named):
        try:
            return encoder.feature_extractor("res5", dilated=True)
        except ValueError:
            pass  # no ResNet
    return encoder.feature_extractor(stage, stride)


def predict_video(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    prompt: Prompt | Sequence[Prompt],
    output_dir: str | Path,
    protocol: str | None = None,
    changes: dict[str, Any] | None = None,
    short_side: int | None = SHORT_SIDE,
    overlay: bool = True,
    overwrite: bool = False,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Track a prompt through a video, forwards and backwards from its frame, and write the results.

    Files, named after the frames of the whole video: `masks/<frame>.png`, `boxes.csv` or `points.csv`; `overlay.mp4`;
    and last `prediction.json`, with the protocol, the prompt, the seconds and the command. In `boxes.csv` (0, 0) is the
    corner of the first pixel, in `points.csv` its centre, as in the prompts.

    Args:
        extractor: float RGB `(N, 3, H, W)` in [0, 1] → a single map `(N, C, h, w)`, with its `stride`.
        video: a file, a folder of frames, or a `FrameStream` of a part of a video.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)`, of any frame. With several prompts of one
            kind, each frame is followed from the prompt of the nearest frame.
        output_dir: folder of the files.
        protocol: a name: of a propagation protocol, for points also of a point protocol. None is `vidcorr`, for a box
            VFS's tracker.
        changes: fields of the protocol to change; the protocol's name then shows them.
        short_side: short side to which larger frames are reduced, pixels; None keeps the original size. A protocol with
            an input size ignores it, and so does a box.
        overlay: write `overlay.mp4`.
        overwrite: replace an earlier prediction in the folder.
        metadata: further entries of prediction.json.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if the prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol or field of the protocol, or a folder that holds a prediction.
        OSError: if the folder cannot be written, or another process writes into it.
        Stopped: if a signal asks for it, after the current frame. The files then hold the frames so far, and `complete`
            in prediction.json is false. The same call begins again.
    """
    began = time.perf_counter()
    watch = Stopwatch()
    folder = Path(output_dir)
    interrupted = check_folder(folder, overwrite)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    if min(stream.size) < 2:  # H.264 has even sizes
        raise DataError(f"{stream.path}: has frames of {pixels(stream.size)}; expected at least 2 × 2 px")
    prompts = [prompt] if isinstance(prompt, Prompt) else prompt
    sections = prompted_sections(stream, prompts)
    rules = rules_for(extractor, sections[0].prompt, protocol, changes)
    advice = f"{stream.path}: lower short_side, or {LOWER}"
    with out_of_memory_advice(advice):
        first = follow_prompted(extractor, sections[0], rules, short_side, watch)
    others = (follow_prompted(extractor, section, rules, short_side, watch) for section in sections[1:])
    found = chain(first, chain.from_iterable(others))
    if interrupted:
        print(f"{folder}: holds an interrupted prediction, which now begins again")
    with FolderLock(folder, "name another output folder"):
        check_folder(folder, overwrite)  # another run may have written it before the lock
        for name in OUTPUTS:
            remove(folder / name)
        content = _conditions(extractor, stream, sections, rules, short_side, metadata or {})
        write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
        with out_of_memory_advice(advice):
            record = open_record(folder, stream, [section.prompt for section in sections], rules, overlay)
            frames = _write(record, found, folder, stream, watch)
        seconds = time.perf_counter() - began
        content |= {
            "frames": frames,
            "complete": True,
            "seconds": round(seconds, 2),
            "seconds_per_frame": round(seconds / frames, 4),
            "seconds_of": watch.rounded(),
        }
        write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
    return content


def _conditions(
    extractor: nn.Module,
    stream: FrameStream,
    sections: Sequence[PromptedVideo],
    rules: AnyProtocol,
    short_side: int | None,
    metadata: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of prediction.json before the first frame: the conditions of the prediction."""
    prompts = [section.prompt.metadata() for section in sections]
    content: dict[str, Any] = {"video": str(stream.path)}
    content["prompt"] = prompts[0] if len(prompts) == 1 else prompts
    content |= metadata
    content["stage"] = getattr(extractor, "stage", None)
    content["stride"] = getattr(extractor, "stride", None)
    content["protocol"] = {"digest": rules.digest(), **rules.fields()}
    content["size"] = list(stream.size)
    content["frame_rate"] = stream.frame_rate
    content["part"] = {"start": stream.part.start, "end": stream.end, "every": stream.part.step}
    content["complete"] = False
    content |= Provenance.now().model_dump(mode="json")
    if not isinstance(rules, TrackingProtocol):
        content["seen_at"] = list(FrameSizes.of(extractor, stream.size, rules, short_side).reduced)
    return content


def _write(
    record: SequenceWriter, found: Iterator[tuple[Tensor, Any]], folder: Path, stream: FrameStream, watch: Stopwatch
) -> int:
    """Write the results, frame by frame, and return the number of frames; a signal keeps the frames so far."""
    with record, ProgressReport(stream.name, stream.num_frames, "frames") as progress:
        try:
            for frame, results in found:
                with watch("write"):
                    record.add(frame, [results])
                progress.advance()
                signals.check()
        except signals.Stopped:
            print(f"{folder}: interrupted; the same command starts over")
            if record.written and signals.requests.interrupts < 2:
                record.close()
            raise
        except ValueError as error:  # for example frames too small for the features
            if str(stream.path) in str(error):
                raise
            raise ValueError(f"{stream.path}: {error}") from error
        record.close()
    return record.written


def check_folder(folder: Path, overwrite: bool = False) -> bool:
    """Return whether a folder holds an interrupted prediction.

    Args:
        folder: folder of the prediction.
        overwrite: allow to replace a complete prediction; an interrupted prediction is always replaced.

    Raises:
        ValueError: for a file in place of the folder, a complete prediction without `overwrite`, or files with our
            names but without prediction.json.
    """
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; the output must be a folder")
    earlier = [name for name in OUTPUTS if (folder / name).exists()]
    if not earlier:
        return False
    if earlier[0] != RECORD:  # a folder of masks may be the user's own, even the prompt's
        raise ValueError(
            f"{folder}: holds {earlier[0]} but no {RECORD}, so it may be yours; remove it, or name another folder"
        )
    try:
        complete = json.loads((folder / RECORD).read_text())["complete"]
    except (ValueError, KeyError, TypeError, RecursionError):  # somebody else's file, or an edited one
        complete = True
    if complete and not overwrite:
        remedy = "name another output folder, or set overwrite"
        raise ValueError(f"{folder}: holds a prediction ({RECORD}); {remedy}")
    return not complete


def open_record(
    folder: Path, stream: FrameStream, prompts: Sequence[Prompt], rules: AnyProtocol, overlay: bool
) -> SequenceWriter:
    """Open the files of a prediction: `masks/<frame>.png`, `boxes.csv` or `points.csv`, and the overlay.

    Args:
        folder: folder of the prediction.
        stream: the video.
        prompts: the prompts; their kind selects the files, and the first has the colours of masks.
        rules: protocol of the tracker; a point protocol adds a column.
        overlay: write `overlay.mp4`.
    """
    prompt = prompts[0]
    stems = map(stream.stem, itertools.count())
    numbers = map("{:05d}".format, stream.part)
    objects: dict[Any, None] = {}  # a set that keeps its order
    for each in prompts:
        objects |= dict.fromkeys(each.objects)
    names = list(map(str, objects))
    distinct = distinct_colours(len(names))
    file: PredictionFile
    draw: Draw
    if isinstance(prompt, MaskPrompt):
        colours = prompt.palette.copy()
        if np.array_equal(colours, davis_palette()):  # the user painted no colours
            colours[list(map(int, objects))] = distinct
        file = IndexedMasks(folder / "masks", stems, palette=prompt.palette)
        draw = partial(overlay_masks, colours=colours, labelled=True)
    elif isinstance(prompt, BoxPrompt):
        columns = ["frame", "name", "x", "y", "width", "height"]
        if names == [""]:  # a single box without a name
            names = []
            columns.remove("name")
        file = PredictionTable(folder / "boxes.csv", numbers, partial(_number_rows, names, (2, 2, 2, 2)), columns)
        draw = partial(draw_boxes, colours=distinct, labels=names)
    else:
        columns = ["frame", "name", "x", "y", "score"]
        digits: tuple[int, ...] = (2, 2, 4)
        draw = partial(draw_points, names=names, colours=distinct)
        if isinstance(rules, PointProtocol):
            columns.append("occluded")
            digits = (3, 3, 4, 0)
            draw = _draw_followed
        file = PredictionTable(folder / "points.csv", numbers, partial(_number_rows, names, digits), columns)
    film = Mp4Writer(folder / "overlay.mp4", stream.frame_rate, crf="23") if overlay else None
    return SequenceWriter(0, draw, [file], video=film)


def _draw_followed(frame: Tensor, found: FollowedPoints) -> Picture:
    """Draw the points with the last part of their tracks."""
    points = found.points.numpy() + 0.5
    return overlay_tracks(frame, points, np.asarray(found.occluded), found.t, distinct_colours(len(points)))


def _number_rows(names: Sequence[str], digits: Sequence[int], stem: str, found: object) -> list[list[str]]:
    """Return the lines of a frame in a table of boxes or points, a line per box or point; NaN is empty.

    Args:
        names: names of the boxes or points; none for a single box without a name, whose line has no name.
        digits: digits after the point, by column of numbers.
        stem: the frame, first in every line.
        found: boxes or points, `(N, columns of numbers)`.
    """
    rows = []
    if isinstance(found, FollowedPoints):
        found = found.now
    numbers = np.asarray(found, np.float64).tolist()
    labels = [[name] for name in names]
    if not labels:
        labels = [[]]
    for label, values in zip(labels, numbers, strict=True):
        row = [stem, *label]
        for value, places in zip(values, digits, strict=True):
            row += fixed([value], places)
        rows.append(row)
    return rows
