"""Track prompts through a video, and write the results."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream
from datamodules.reading.files import ProgressReport, write_atomically
from datamodules.reading.mask_files import read_mask
from datamodules.reading.prompts import MaskPrompt, Prompt
from lightning_modules.functional import PointProtocol
from lightning_modules.functional.box_protocol import TrackingProtocol

from .. import signals
from ..results.provenance import provenance
from ..tracking.record import SequenceRecord
from ..tracking.stopwatch import Stopwatch
from ..tracking.view import View
from .follow import SHORT_SIDE
from .output_files import RECORD, Overlay, clear, look_for_earlier, open_record
from .passes import run_passes
from .point_queries import FollowedPoints, follow_points
from .request import Request, follower
from .unfinished import UNFINISHED, Unfinished, identify


def predict_video(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    prompt: Prompt | Iterable[Prompt],
    output_dir: str | Path,
    protocol: str | None = None,
    changes: dict[str, Any] | None = None,
    short_side: int | None = SHORT_SIDE,
    overlay: Overlay = "mp4",
    overwrite: bool = False,
    metadata: dict[str, Any] | None = None,
    exports: Sequence[str] = (),
) -> dict[str, Any]:
    """Track prompts through a video, forwards and backwards, and write the results.

    Each object is followed from each of its prompts in both directions, and is in every frame where the nearest of them
    in time has it, the earlier of two equally near. Where objects of different prompts claim a pixel, the one whose
    prompt is nearer has it. A single pass is enough where all prompts are for the first frame; else the passes come
    first, and then tables and overlay.

    Files, named after the frames of the whole video: `masks/<frame>.png`, `boxes.csv` or `points.csv`; `overlay.mp4`;
    and last `prediction.json`, with the protocol, the prompts, the time it took and the command.

    Args:
        extractor: see `build_feature_extractor`; for a box see `SiamFCTracker`.
        video: a file, a folder of frames, or a `FrameStream` of a part of one.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)`, or several of one kind, see
            `read_prompts`.
        output_dir: where the files go.
        protocol: name of a propagation protocol; None chooses by the extractor. For points also that of a point
            protocol (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`), see `follow_points`.
        changes: fields of the protocol to change; of `TrackingProtocol` for a box. The protocol's name then shows them.
        short_side: see `propagate_masks`.
        overlay: how the overlay is written; GIF and WebP are small, and leave out frames of long videos.
        overwrite: replace an earlier prediction in the folder.
        metadata: more for prediction.json.
        exports: further files: "coco", `coco.json` with masks as run lengths, boxes or points as keypoints; "csv", for
            masks, `objects.csv` with the box and the area of each object.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if a prompt does not fit the video, or a frame cannot be read.
        ValueError: if the protocol, the overlay or an export does not exist, a field of the protocol does not, or the
            folder holds a prediction.
        OSError: if the folder cannot be written.
        Stopped: if a signal asks for it, after the current frame: the files of a single pass then hold the frames so
            far, and `complete` in prediction.json is false. The same call resumes from there; it does after a kill too,
            from the last save, one a minute.
    """
    began, watch, folder = time.perf_counter(), Stopwatch(), Path(output_dir)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    request = Request.of(extractor, stream, prompt, protocol, changes, short_side)
    identity = identify(extractor, stream, request.prompts, request.rules, short_side)
    unfinished = Unfinished(folder / UNFINISHED, identity)
    resumes = look_for_earlier(folder, overlay, overwrite, exports) and unfinished.read(overwrite)
    began -= unfinished.seconds
    watch.seconds.update(unfinished.seconds_of)
    found = _found(extractor, request, folder, unfinished, watch, began)
    clear(folder, keep=("masks", UNFINISHED) if resumes else ())
    if resumes and (unfinished.bookmark.start is not None or unfinished.bookmark.leg):
        print(f"{folder}: resuming at {_resume_position(request, unfinished)}")
    elif not resumes:
        unfinished.save(0, 0.0, {})
    with open_record(folder, request, overlay, exports) as record:
        stopped = _write(record, found, request, unfinished, began, watch)
    content = {
        "video": str(stream.path),
        "prompt": request.metadata(),
        **(metadata or {}),
        **_facts(extractor, request),
        "frames": record.written,
        "complete": not stopped,
        **_seconds(time.perf_counter() - began, record.written, watch),
        **provenance(),
    }
    write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
    signals.check()
    unfinished.path.unlink()
    return content


def _found(
    extractor: nn.Module, request: Request, folder: Path, unfinished: Unfinished, watch: Stopwatch, began: float
) -> Iterator[tuple[Tensor, Any]]:
    """Return the frames in order with the results in each; faulty arguments raise before the first."""
    stream, bookmark = request.stream, unfinished.bookmark
    if isinstance(request.rules, PointProtocol):
        return follow_points(extractor, stream, request.prompts, request.rules, request.short_side, watch, bookmark)
    follow = follower(extractor, request, watch)
    if request.in_one_pass:
        new = follow(0, stream.forwards(bookmark.frame), bookmark)
        return itertools.chain(_written(folder, request, unfinished), new)
    return run_passes(request, follow, folder, unfinished, watch, began)


def _written(folder: Path, request: Request, unfinished: Unfinished) -> Iterator[tuple[Tensor, Any]]:
    """Yield the frames that are written already, and what was found in each: masks from their files."""
    stream = request.stream
    for t, frame in enumerate(itertools.islice(stream, unfinished.bookmark.frame)):
        if isinstance(request.prompts[0], MaskPrompt):
            yield frame, torch.from_numpy(read_mask(folder / "masks" / f"{stream.stem(t)}.png"))
        else:
            yield frame, unfinished.found[t]


def _write(
    record: SequenceRecord,
    found: Iterator[tuple[Tensor, Any]],
    request: Request,
    unfinished: Unfinished,
    began: float,
    watch: Stopwatch,
) -> bool:
    """Write frame by frame, save the state to resume from now and then, and return whether a signal ended it.

    Raises:
        Stopped: before the first frame is written.
    """
    before, stream = unfinished.bookmark.frame, request.stream
    stopped = False

    def save() -> None:
        if request.in_one_pass and record.written > before:  # else the file holds all there is
            position = 0 if isinstance(request.rules, PointProtocol) else record.written
            unfinished.save(position, time.perf_counter() - began, watch.seconds)

    with ProgressReport(stream.name, stream.num_frames, "frames") as progress:
        try:
            for frame, what in found:
                with watch("write"):
                    record.add(frame, [what])
                if request.in_one_pass and (numbers := _numbers(what)) is not None:
                    unfinished.found[record.written - 1] = numbers
                progress.advance()
                if stopped := signals.requested():
                    break
                if unfinished.is_due():
                    save()
        except signals.Stopped:
            if signals.at_once() or not record.written:
                raise
            stopped = True
    record.close()
    if stopped:
        save()
    return stopped


def _numbers(what: Any) -> Tensor | None:
    """Return a frame's boxes or points; None for masks, kept in their files, and tracks, kept in the state."""
    if isinstance(what, FollowedPoints) or (isinstance(what, Tensor) and what.dtype == torch.uint8):
        return None
    return torch.as_tensor(what)


def _facts(extractor: nn.Module, request: Request) -> dict[str, Any]:
    """Return what the prediction depends on, for the record."""
    stream, rules = request.stream, request.rules
    facts = {
        "stage": getattr(extractor, "stage", None),
        "stride": getattr(extractor, "stride", None),
        "protocol": {"digest": rules.digest(), **rules.fields()},
        "size": list(stream.size),
        "frame_rate": stream.frame_rate,
        "part": {"start": stream.part.start, "end": stream.part.end, "every": stream.part.every},
    }
    if not isinstance(rules, TrackingProtocol):
        facts["seen_at"] = list(View.of(extractor, stream.size, rules, request.short_side).seen)
    return facts


def _seconds(seconds: float, frames: int, watch: Stopwatch) -> dict[str, Any]:
    per_frame = round(seconds / frames, 4)
    return {"seconds": round(seconds, 2), "seconds_per_frame": per_frame, "seconds_of": watch.rounded()}


def _resume_position(request: Request, unfinished: Unfinished) -> str:
    """Return a description of where a prediction resumes."""
    mark, stream = unfinished.bookmark, request.stream
    if request.in_one_pass:
        return f"frame {stream.part.number(mark.frame)}"
    if mark.leg == len(request.legs):
        return "the tables and the overlay"
    leg = request.legs[mark.leg]
    number = stream.part.number(leg.start + leg.step * mark.frame)
    return f"frame {number}, pass {mark.leg + 1} of {len(request.legs)}"
