"""`predict_video`: follow prompts of a user through a video, and write the results."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import signals
from ..functional.propagation.propagate import LabelPropagator
from ..progress import progress_bar
from ..protocols import PointProtocol
from ..results.csv_files import csv_text, fixed
from ..results.pictures import Picture, overlays
from ..results.provenance import Provenance
from ..videos.files import user_path, write_atomically
from ..videos.folder_lock import folder_lock
from ..videos.masks import davis_palette, write_ids
from ..videos.mp4 import Mp4Writer
from ..videos.prompts import BoxPrompt, MaskPrompt, Name, Prompt
from ..videos.stream import FrameStream
from .follow import SHORT_SIDE, AnyProtocol, Prompts, encoder_of, name_of, prompts_of_video, results_of
from .followers import objects_of
from .frame_encoder import FrameEncoder
from .labels import Propagator

RECORD = "prediction.json"
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", "overlay.mp4")
"""All files that `predict` may write into its folder."""


def predict_video(
    network: object,
    video: str | Path | FrameStream,
    prompts: Prompts,
    output_dir: str | Path,
    protocol: str | None = None,
    short_side: int = SHORT_SIDE,
    overlay: bool = True,
    metadata: dict[str, Any] | None = None,
    propagator: Propagator = LabelPropagator,
) -> dict[str, Any]:
    """Follow prompts of one or several frames through a video, and write the results.

    For masks the files are `masks/<frame>.png`, for boxes or points `boxes.csv` or `points.csv`. Every prediction has
    `overlay.mp4` (by `overlay`) and `prediction.json`, with the protocol, the prompts (the places of their
    frames from 0, and their images), the seconds and the command. Frames have the numbers of their images, of a film
    from 0. In `boxes.csv` (0, 0) is the corner of the first pixel, in `points.csv` its centre, as in the prompts.

    Args:
        network: a network, as `load` takes it, or its extractor.
        video: a file, a folder of frames, or a `FrameStream` of a part of a video.
        prompts: prompts, as `follow` takes them.
        output_dir: folder of the files.
        protocol: name of a protocol, as `follow` takes it.
        short_side: short side to which larger frames are reduced, pixels.
        overlay: write `overlay.mp4`.
        metadata: further entries of prediction.json.
        propagator: `LabelPropagator`, or a user's rule for masks and heat-maps, which prediction.json names.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if a prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol or field of the protocol, or a folder that holds a file of these names.
        OSError: if the folder cannot be written, or another process writes into it.
        Stopped: if a signal asks for it, after the current frame. The files then hold the frames so far, and `complete`
            in prediction.json is false.
    """
    began = time.perf_counter()
    folder = user_path(output_dir)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    given = prompts_of_video(prompts, stream)
    encoder = encoder_of(network, next(iter(given.values())), protocol, propagator)
    content = _record_at_start(stream, encoder, short_side, metadata or {})
    content["prompts"] = [
        {"frame": stream.first + t, "image": stream.image_name(t), **prompt.metadata()} for t, prompt in given.items()
    ]
    results_of_frames = results_of(encoder, given, stream, short_side, propagator)
    with folder_lock(folder, "name another output folder"):
        existing = [name for name in OUTPUTS if (folder / name).exists()]
        if existing:
            raise ValueError(f"{folder}: holds {existing[0]}; name another output folder")
        _write_record(folder, content)  # `complete` is still false
        made = _ResultFiles(folder, stream, given, encoder.protocol, overlay)
        with closing(made) as files, progress_bar(stream.name, stream.num_frames - min(given), "frames") as progress:
            for picture, results in results_of_frames:
                files.add(picture, results)
                progress.update()
                signals.check()
        seconds = time.perf_counter() - began
        content |= {"frames": files.frames, "complete": True, "seconds": round(seconds, 2)}
        content["seconds_per_frame"] = round(seconds / files.frames, 4)
        _write_record(folder, content)
    return content


def _record_at_start(
    stream: FrameStream, encoder: FrameEncoder, short_side: int, metadata: Mapping[str, object]
) -> dict[str, Any]:
    rules = encoder.protocol
    named = {"name": name_of(rules), "benchmark": rules.benchmark}
    return {
        "video": str(stream.path),
        **metadata,
        "stage": encoder.extractor.stage,
        "stride": encoder.extractor.stride,
        "input": encoder.input.model_dump(mode="json"),
        "protocol": {"digest": rules.digest(), **named, **rules.effective_values()},
        "size": list(stream.size),
        "short_side": short_side,
        "frame_rate": stream.frame_rate,
        "notes": stream.notes(),
        "part": {"start": stream.start, "end": stream.end},
        "complete": False,
        **Provenance.now().model_dump(mode="json"),
    }


def _write_record(folder: Path, content: Mapping[str, object]) -> None:
    write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")


class _ResultFiles:
    """Writes masks, table and overlay of a prediction, frame by frame.

    `close` completes the files, also after a stop: they hold the frames so far.

    Args:
        folder: the folder of the prediction.
        stream: the video.
        prompts: frame of the stream → prompt.
        rules: the protocol.
        overlay: write overlay.mp4.

    Attributes:
        frames: number of frames that were added.
    """

    def __init__(
        self, folder: Path, stream: FrameStream, prompts: Mapping[int, Prompt], rules: AnyProtocol, overlay: bool
    ) -> None:
        prompt = next(iter(prompts.values()))
        self.frames = 0
        self._stream = stream
        self._first = min(prompts)  # frame of the stream that is added first
        self._objects = objects_of(prompts)  # ids of masks; names of boxes or points
        self._folder = folder
        self._is_mask = isinstance(prompt, MaskPrompt)
        self._kind = prompt.kind
        self._table = [_heading(prompt, rules)]  # rows of text, written by `close`
        self._draw = _drawer(prompt, self._objects, rules)
        self._film = Mp4Writer(folder / "overlay.mp4", stream.frame_rate, crf="23") if overlay else None

    def add(self, frame: Tensor, results: Any) -> None:
        """Write the results of the next frame.

        Args:
            frame: uint8 RGB `(3, H, W)`.
            results: ids `(H, W)`; or boxes or points, a row of numbers per object.
        """
        t = self._first + self.frames
        if self._is_mask:
            file = Path(self._stream.image_name(t)).with_suffix(".png").name
            write_ids(self._folder / "masks" / file, results.numpy(), davis_palette())
        else:
            for name, numbers in zip(self._objects, results.tolist(), strict=True):
                self._table.append([f"{self._stream.number(t):05d}", str(name), *fixed(numbers, 4)])
        if self._film is not None:
            self._film.add(self._draw(frame, results))
        self.frames += 1

    def close(self) -> None:
        if not self._is_mask:
            write_atomically(self._folder / f"{self._kind}.csv", csv_text(self._table))
        if self._film is not None:
            self._film.close()


def _heading(prompt: Prompt, rules: AnyProtocol) -> list[str]:
    heading = ["frame", prompt.thing, *prompt.columns.split(","), "score"]
    if isinstance(rules, PointProtocol):
        heading.append("occluded")
    return heading


def _drawer(prompt: Prompt, objects: tuple[Name, ...], rules: AnyProtocol) -> Callable[[Tensor, Any], Picture]:
    """Return the function that draws the results of a frame over the frame.

    It keeps the last points for their tails, so it has to be called for every frame in order.

    Args:
        prompt: any of the prompts that are followed.
    """
    if isinstance(prompt, MaskPrompt):
        return partial(overlays.overlay_masks, labelled=True)
    names = list(map(str, objects))
    colours = overlays.distinct_colours(len(names))
    if isinstance(prompt, BoxPrompt):
        labels = names if len(names) > 1 else []  # a box alone needs no name
        # `found`: left, top, width, height and response, which is not drawn
        return lambda frame, found: overlays.draw_boxes(frame, found[:, :4], colours, labels)
    has_tails = isinstance(rules, PointProtocol)  # joints by heat-maps have none
    # points of the last frames: `TAIL` earlier ones and the present one
    recent: deque[Tensor] = deque(maxlen=overlays.TAIL + 1 if has_tails else 1)

    def draw_tracks(frame: Tensor, found: Tensor) -> Picture:
        recent.append(found)
        tracks = np.stack(list(recent), axis=1)  # (points, frames, columns): x, y, score, and perhaps occluded
        places = tracks[..., :2] + 0.5  # from the centre of the first pixel to its corner
        hidden = np.any(tracks[..., 3:] > 0, axis=2)  # False without the column, which only point protocols give
        # the present frame is the last of `tracks`
        return overlays.overlay_tracks(frame, places, hidden, len(recent) - 1, colours, names=names)

    return draw_tracks
