"""`predict_video`: track a user's prompt through a video, and write the results."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import signals
from ..backbones import build_encoder
from ..functional import TrackingProtocol
from ..functional.device import out_of_memory_advice
from ..results.result import Provenance
from ..videos.files import DataError, FolderLock, write_atomically
from ..videos.images import pixels
from ..videos.processes import ProgressReport
from ..videos.prompts import BoxPrompt, Prompt
from ..videos.stream import FrameStream, PromptedVideo
from .follow import SHORT_SIDE, AnyProtocol, follow_prompted, rules_for
from .frame_encoder import LOWER, Stopwatch, View
from .output_files import RECORD, check_folder, open_record, remove_outputs
from .record import SequenceWriter


def extractor_for(module: Any, prompt: Prompt, stage: str | None = None, stride: int | None = None) -> nn.Module:
    """Return the extractor of a module that follows a prompt.

    Args:
        module: see `build_encoder`.
        prompt: a box is followed by the dilated res5, if the encoder has it and neither the call nor the module names a
            stage or stride.
        stage: see `FeatureExtractor`.
        stride: pixels per feature cell.
    """
    encoder = build_encoder(module)
    own = getattr(module, "hparams", {})
    named = [stage, stride, own.get("stage"), own.get("stride")]
    if isinstance(prompt, BoxPrompt) and all(index is None for index in named):
        try:
            return encoder.feature_extractor("res5", dilated=True)
        except ValueError:
            pass  # no ResNet
    return encoder.feature_extractor(stage, stride)


def predict_video(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    prompt: Prompt,
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
        extractor: see `build_feature_extractor`; for a box see `SiamFCTracker`.
        video: a file, a folder of frames, or a `FrameStream` of a part of a video.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)`, of any frame.
        output_dir: folder of the files.
        protocol: a name, see `rules_for`.
        changes: see `follow`.
        short_side: see `follow`.
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
    began, watch, folder = time.perf_counter(), Stopwatch(), Path(output_dir)
    interrupted = check_folder(folder, overwrite)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    if min(stream.size) < 2:  # H.264 has even sizes
        raise DataError(f"{stream.path}: has frames of {pixels(stream.size)}; expected at least 2 × 2 px")
    prompted = PromptedVideo(stream, prompt)
    rules = rules_for(extractor, prompted.prompt, protocol, changes)
    advice = f"{stream.path}: lower short_side, or {LOWER}"
    with out_of_memory_advice(advice):
        found = follow_prompted(extractor, prompted, rules, short_side, watch)
    if interrupted:
        print(f"{folder}: holds an interrupted prediction, which now begins again")
    with FolderLock(folder, "name another output_dir"):
        check_folder(folder, overwrite)  # another run may have written it before the lock
        remove_outputs(folder)
        content = _conditions(extractor, prompted, rules, short_side, metadata or {})
        write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
        with out_of_memory_advice(advice):
            frames = _write(open_record(folder, prompted, rules, overlay), found, folder, stream, watch)
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
    extractor: nn.Module, video: PromptedVideo, rules: AnyProtocol, short_side: int | None, metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of prediction.json before the first frame: the conditions of the prediction."""
    stream = video.frames
    content = {
        "video": str(stream.path),
        "prompt": video.prompt.metadata(),
        **metadata,
        "stage": getattr(extractor, "stage", None),
        "stride": getattr(extractor, "stride", None),
        "protocol": {"digest": rules.digest(), **rules.fields()},
        "size": list(stream.size),
        "frame_rate": stream.frame_rate,
        "part": {"start": stream.part.start, "end": stream.end, "every": stream.part.step},
        "complete": False,
        **Provenance.now().model_dump(mode="json"),
    }
    if not isinstance(rules, TrackingProtocol):
        content["seen_at"] = list(View.of(extractor, stream.size, rules, short_side).seen)
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
