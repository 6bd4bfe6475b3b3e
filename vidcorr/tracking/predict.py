"""`predict_video`: follow prompts of a user through a video, and write the results."""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .. import signals
from ..functional.propagation.propagate import LabelPropagator
from ..progress import progress_bar
from ..protocols import PointProtocol
from ..results.csv_files import csv_text, fixed
from ..results.folder_lock import folder_lock
from ..results.pictures import Picture, overlays
from ..results.provenance import Provenance
from ..videos.annotation_writers import WRITERS
from ..videos.files import WRONG_JSON, DataError, errors_at, read_text, write_atomically
from ..videos.masks import ids_in_davis, write_ids
from ..videos.mp4 import Mp4Writer
from ..videos.objects import Objects
from ..videos.prompts import BoxPrompt, MaskPrompt, Prompt
from ..videos.stream import AnyStream, open_stream
from .annotations import BETWEEN, Annotations, Prompts, by_frame, give_ids
from .follow import SHORT_SIDE, AnyProtocol, extractor_and_protocol, follow_with_doubts, name_of
from .followers import MaskResult
from .frame_encoder import adapted
from .labels import Propagator

RECORD = "prediction.json"
GIVEN = "prompts"
"""Folder of the masks that the user gave."""
TABLES = {"mask": "frames.csv", "boxes": "boxes.csv", "points": "points.csv"}
"""Kind of prompts → table of the results."""
OUTPUTS = (RECORD, GIVEN, "masks", *TABLES.values(), "overlay.mp4", *(each.files for each in WRITERS.values()))
"""All files that `predict` may write into its folder."""
COMMON_ENTRIES = ("video", "size", "part", "protocol", "stage", "stride", "weights")
"""Entries of the record that a prediction has in common with the one that it corrects."""


def predict_video(
    network: Any,
    video: str | Path | AnyStream,
    prompts: Prompts,
    output_dir: str | Path,
    protocol: str | None = None,
    short_side: int = SHORT_SIDE,
    overlay: bool = True,
    metadata: dict[str, Any] | None = None,
    propagator: Propagator = LabelPropagator,
    formats: Sequence[str] = (),
    announce: Callable[[dict[str, Any]], object] = lambda content: None,
) -> dict[str, Any]:
    """Follow prompts of one or several frames through a video, forwards and backwards, and write the results.

    For masks the files are `masks/<frame>.png`; `frames.csv`, with each object's share of the pixels and doubt
    (`label_doubts`) per frame; and the given masks in `prompts`. For boxes or points the file is `boxes.csv` or
    `points.csv`. Every prediction has `overlay.mp4` (by `overlay`) and `prediction.json`, with the protocol, the
    prompts, the seconds and the command. Frames are numbered as in the whole video. In `boxes.csv` (0, 0) is the corner
    of the first pixel, in `points.csv` its centre, as in the prompts.

    If the folder holds a prediction of the same video by the same network and protocol, it is continued: earlier
    prompts count too, except for frames that are prompted again, and the files are replaced.

    Args:
        network: a network, as `load` takes it, or its extractor.
        video: a file, a folder of frames, a camera or an address, which is read until it ends or a signal asks to stop;
            or a `FrameStream` of a part of a video.
        prompts: prompts, as `follow` takes them.
        output_dir: folder of the files.
        protocol: name of a propagation protocol, for points also of a point protocol, with changed fields as in
            `vidcorr+radius=0.3`. None is `vidcorr`, for a box VFS's tracker.
        short_side: short side to which larger frames are reduced, pixels. A protocol with an input size ignores it, and
            so does a box.
        overlay: write `overlay.mp4`.
        metadata: further entries of prediction.json.
        propagator: `LabelPropagator`, or a user's rule for masks and heat-maps, which prediction.json names.
        formats: further formats of masks: "coco" (`coco.json`), "labelme", "yolo".
        announce: called with the content of prediction.json before the first frame is read: a command prints its notes
            and objects.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if a prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol or field of the protocol, or a folder that holds other files of these names.
        OSError: if the folder cannot be written, or another process writes into it.
        Stopped: if a signal asks for it, after the current frame. The files then hold the frames so far, and `complete`
            in prediction.json is false.
    """
    began = time.perf_counter()
    folder = Path(output_dir)
    stream = video if isinstance(video, AnyStream) else open_stream(video)
    given = by_frame(prompts, stream.start)
    if not given:
        raise DataError("no prompt was given")
    first = next(iter(given.values()))  # any prompt tells the kind; `Annotations.of` refuses several kinds
    extractor, rules = extractor_and_protocol(network, first, protocol, propagator)
    content = _record_at_start(stream, extractor, rules, short_side, metadata or {})
    earlier = earlier_record(folder, content)
    objects = Objects(earlier.get("objects", []))  # known objects keep their ids
    given = give_ids(given, objects)
    earlier_prompts = recorded_prompts(earlier, folder, type(first))
    notes = notes_on_replaced(given, earlier_prompts)
    all_prompts = earlier_prompts | given
    annotations = Annotations.of(all_prompts, stream.start)
    content["prompts"] = annotations.metadata(stream.start)
    content["objects"] = objects.rows
    content["notes"] += [*notes, *objects.notes]
    content["formats"] = sorted({*formats, *earlier.get("formats", [])})  # files of an earlier format are replaced too
    if content["formats"] and first.kind != "mask":
        raise ValueError(f"{', '.join(content['formats'])}: formats of masks; {first.kind} are written as CSV")
    results_of_frames = follow_with_doubts(extractor, stream, all_prompts, rules, short_side, propagator)
    with folder_lock(folder, "name another output folder"):
        if earlier_record(folder, content) != earlier:  # `earlier` was read before the lock was held
            raise ValueError(f"{folder}: another run has just written into it; repeat the command")
        for frame, prompt in all_prompts.items():
            if isinstance(prompt, MaskPrompt):
                write_ids(folder / GIVEN / f"{frame:05d}.png", prompt.labels, objects.palette)
        _write_record(folder, content)  # `complete` is still false
        announce(content)
        made = _ResultFiles(folder, stream, annotations, rules, overlay, content["formats"], objects)
        with closing(made) as files, progress_bar(stream.name, stream.num_frames, "frames") as progress:
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
    stream: AnyStream, extractor: Any, rules: AnyProtocol, short_side: int, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entries of prediction.json that are known before the first frame.

    Args:
        stream: the video.
        extractor: view of the network.
        rules: the protocol.
        short_side: short side to which larger frames are reduced, pixels.
        metadata: further entries.
    """
    named = {"name": name_of(rules), "benchmark": rules.benchmark}
    return {
        "video": str(stream.path),
        "between_prompts": BETWEEN,
        **metadata,
        "stage": extractor.stage,
        "stride": extractor.stride,
        # the RGB normalisation, in which a protocol may replace the network's
        "input": adapted(extractor, rules).input.model_dump(mode="json"),
        # by way of JSON, which makes lists of tuples, so that it equals the protocol in a file that is read again
        "protocol": json.loads(json.dumps({"digest": rules.digest(), **named, **rules.effective_values()})),
        "size": list(stream.size),
        "short_side": short_side,
        "frame_rate": stream.frame_rate,
        "notes": stream.notes(),
        "part": {"start": stream.start, "end": stream.end},
        "complete": False,
        **Provenance.now().model_dump(mode="json"),
    }


def _write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the content of prediction.json into a folder."""
    write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")


def earlier_record(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the prediction that a folder holds, which the new prediction continues.

    Args:
        folder: the folder.
        content: the record of the new prediction.

    Returns:
        The content of prediction.json; empty if the folder holds none of `OUTPUTS`.

    Raises:
        ValueError: if the files belong to another video, network or protocol, or to no prediction.
    """
    record = folder / RECORD
    existing = [name for name in OUTPUTS if (folder / name).exists()]  # what a prediction would overwrite
    if not existing:
        return {}
    if not record.is_file():
        raise ValueError(f"{folder}: holds {existing[0]}; name another output folder")
    with errors_at(record, *WRONG_JSON):
        earlier: dict[str, Any] = json.loads(read_text(record))
        if "objects" not in earlier:
            raise DataError(f"{record}: is of an older vidcorr; name another output folder")
        for name in COMMON_ENTRIES:  # `weights` is of the command's metadata: None on both sides without it
            if earlier.get(name) != json.loads(json.dumps(content.get(name))):  # as JSON, where tuples are lists
                raise DataError(f"{folder}: holds the prediction of another {name}; name another output folder")
    return earlier


def recorded_prompts(record: Mapping[str, Any], folder: Path, kind: type[Prompt]) -> dict[int, Prompt]:
    """Return frame → prompt for the prompts of a record; masks are read from the folder.

    Args:
        record: content of prediction.json, or an empty dict.
        folder: folder of the record.
        kind: class of the prompts.

    Returns:
        Prompts by their frames in the whole video.
    """
    prompts: dict[int, Prompt] = {}
    with errors_at(folder / RECORD, *WRONG_JSON):
        for entry in record.get("prompts", []):
            # boxes and points are in the entry itself, under the name of their kind; a mask is a file
            values = entry.get(kind.kind, folder / GIVEN / f"{entry['frame']:05d}.png")
            # `left`: objects that have left, which the mask's pixels cannot tell
            options = {"left": entry.get("left", [])} if kind is MaskPrompt else {}
            prompts[entry["frame"]] = replace(kind.of(values, **options), source=entry["source"])
    return prompts


def notes_on_replaced(given: Mapping[int, Prompt], earlier: Mapping[int, Prompt]) -> list[str]:
    """Return a sentence for each earlier prompt of a folder that a given prompt replaces; equal prompts get none.

    Raises:
        DataError: if a mask that states no frame, and therefore counts for the first frame, would replace a prompt.

    Example:
        >>> mask, other = MaskPrompt.of(np.array([[1, 0]])), MaskPrompt.of(np.array([[0, 1]]))
        >>> earlier = {0: mask, 5: mask}
        >>> notes_on_replaced({0: mask, 5: replace(other, frame=5, source="00005.png")}, earlier)
        ['frame 5: 00005.png replaces the mask of array']
        >>> notes_on_replaced({0: replace(other, source="new.png")}, earlier)
        Traceback (most recent call last):
        vidcorr.videos.files.DataError: new.png: names no frame, and frame 0 has a prompt, array: give new.png@FRAME
    """
    notes: list[str] = []
    for frame, prompt in given.items():
        other = earlier.get(frame)
        if other is None or np.array_equal(other.labels, prompt.labels):
            continue
        if isinstance(prompt, MaskPrompt) and prompt.frame is None:  # perhaps meant for another frame
            name = Path(prompt.source).name
            raise DataError(
                f"{prompt.source}: names no frame, and frame {frame} has a prompt, {other.source}: give {name}@FRAME"
            )
        notes.append(f"frame {frame}: {prompt.source} replaces the {prompt.kind} of {other.source}")
    return notes


class _ResultFiles:
    """Writes masks, table, overlay and further formats of a prediction, frame by frame.

    `close` completes the files, also after a stop: they hold the frames so far. Files of an earlier prediction are
    replaced; without an overlay, an earlier overlay.mp4 is removed.

    Args:
        folder: the folder of the prediction.
        stream: the video.
        annotations: the prompts that are followed.
        rules: the protocol.
        overlay: write overlay.mp4.
        formats: further formats of masks, keys of `WRITERS`.
        objects: table of the objects of masks, with their names and colours.

    Attributes:
        frames: number of frames that were added.
    """

    def __init__(
        self,
        folder: Path,
        stream: AnyStream,
        annotations: Annotations,
        rules: AnyProtocol,
        overlay: bool,
        formats: Sequence[str],
        objects: Objects,
    ) -> None:
        prompt = annotations.first
        self._palette = objects.palette
        self.frames = 0
        self._stream = stream
        self._objects = annotations.objects  # ids of masks; names of boxes or points
        self._mask_folder = folder / "masks" if isinstance(prompt, MaskPrompt) else None
        if self._mask_folder is not None:
            self._mask_folder.mkdir(exist_ok=True)
        self._writers = [WRITERS[name](folder, objects.names) for name in formats]  # of further formats of masks
        self._table_file = folder / TABLES[prompt.kind]
        self._table = [_heading(prompt, rules)]  # rows of text, written by `close`
        self._draw = _drawer(annotations, rules, objects.colours)
        film = folder / "overlay.mp4"
        if not overlay:
            film.unlink(missing_ok=True)  # of an earlier prediction
        self._film = Mp4Writer(film, stream.frame_rate, crf="23") if overlay else None

    def add(self, frame: Tensor, results: Any) -> None:
        """Write the results of the next frame.

        Args:
            frame: uint8 RGB `(3, H, W)`.
            results: a `MaskResult`; or boxes or points, a row of numbers per object.
        """
        if self._mask_folder is not None:
            rows = self._add_mask(self._mask_folder, results)
            results = results.ids
        else:
            rows = results.tolist()
        frame_number = f"{self._stream.start + self.frames:05d}"  # in the whole video
        for name, numbers in zip(self._objects, rows, strict=True):
            self._table.append([frame_number, str(name), *fixed(numbers, 4)])
        if self._film is not None:
            self._film.add(self._draw(frame, results))
        self.frames += 1

    def _add_mask(self, folder: Path, results: MaskResult) -> list[list[float]]:
        """Write the mask of the next frame in all formats.

        Returns:
            The object's share of the pixels and its doubt, for each object.
        """
        ids = results.ids.numpy()
        image_name = self._stream.image_name(self.frames)
        write_ids(folder / Path(image_name).with_suffix(".png").name, ids, self._palette)
        for writer in self._writers:
            writer.add(image_name, self._stream.start + self.frames, ids)
        shares = results.ids.flatten().bincount(minlength=256) / results.ids.numel()  # id → fraction of the pixels
        rows: list[list[float]] = []
        for name in self._objects:
            doubt = results.doubts.get(name, math.nan)  # an object that has left has none
            rows.append([float(shares[int(name)]), doubt])
        return rows

    def close(self) -> None:
        """Write the table, and complete the files of all formats and the overlay."""
        for writer in self._writers:
            writer.close()
        write_atomically(self._table_file, csv_text(self._table))
        if self._film is not None:
            self._film.close()


def _heading(prompt: Prompt, rules: AnyProtocol) -> list[str]:
    """Return the names of the columns of the table of results, by the kind of prompts and protocol.

    Example:
        >>> from vidcorr import PointPrompt
        >>> _heading(PointPrompt.of("5,7"), PointProtocol.named("fomo"))
        ['frame', 'point', 'x', 'y', 'score', 'occluded']
    """
    if isinstance(prompt, MaskPrompt):
        return ["frame", "object", "share", "doubt"]
    heading = ["frame", prompt.thing, *prompt.columns.split(","), "score"]
    if isinstance(rules, PointProtocol):
        heading.append("occluded")
    return heading


def _overlay_palette(given: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return the colour of each id in overlays, `(256, 3)`.

    An id has its colour in the given masks. If the masks give it none, or DAVIS's own colour, it has the overlays' own.

    Args:
        given: colour in the given masks, as 0xRRGGBB → id.

    Example:
        >>> _overlay_palette({0xFF0000: 9, 0x00FF00: 9})[9].tolist()
        [255, 0, 0]
    """
    palette = overlays.OBJECT_COLOURS.copy()
    davis = ids_in_davis()  # colour → id
    # reversed: of an id's two colours the first is written last and stays, as in the masks
    for colour, number in reversed(list(given.items())):
        if davis.get(colour) != number:
            palette[number] = list(colour.to_bytes(3, "big"))
    return palette


def _drawer(annotations: Annotations, rules: AnyProtocol, given: Mapping[int, int]) -> Callable[[Tensor, Any], Picture]:
    """Return the function that draws the results of a frame over the frame.

    It keeps the last points for their tails, so it has to be called for every frame in order.

    Args:
        annotations: the prompts that are followed.
        rules: the protocol.
        given: colour in the given masks, as 0xRRGGBB → id.
    """
    prompt = annotations.first
    if isinstance(prompt, MaskPrompt):
        return partial(overlays.overlay_masks, colours=_overlay_palette(given), labelled=True)
    names = list(map(str, annotations.objects))
    colours = overlays.distinct_colours(len(names))
    if isinstance(prompt, BoxPrompt):
        labels = names if len(names) > 1 else []  # a box alone needs no name
        # `found`: left, top, width, height and response, which is not drawn
        return lambda frame, found: overlays.draw_boxes(frame, found[:, :4], colours, labels)
    has_tails = isinstance(rules, PointProtocol)  # joints by heat-maps have none
    # points of the last frames: `TAIL` earlier ones and the present one
    recent: deque[Tensor] = deque(maxlen=overlays.TAIL + 1 if has_tails else 1)

    def draw_tracks(frame: Tensor, found: Tensor) -> Picture:
        """Draw points, with their positions in earlier frames as tails."""
        recent.append(found)
        tracks = np.stack(list(recent), axis=1)  # (points, frames, columns): x, y, score, and perhaps occluded
        places = tracks[..., :2] + 0.5  # from the centre of the first pixel to its corner
        hidden = np.any(tracks[..., 3:] > 0, axis=2)  # False without the column, which only point protocols give
        # the present frame is the last of `tracks`
        return overlays.overlay_tracks(frame, places, hidden, len(recent) - 1, colours, names=names)

    return draw_tracks
