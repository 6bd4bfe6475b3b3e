"""`predict_video`: track a user's prompt through a video, and write the results."""

import json
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import signals
from ..backbones import build_encoder
from ..functional.device import out_of_memory_advice
from ..progress import ProgressReport
from ..results.pictures import Picture, overlays
from ..results.result import Provenance
from ..videos.files import FolderLock, csv_text, write_atomically, write_ids
from ..videos.masks import davis_palette
from ..videos.mp4 import Mp4Writer
from ..videos.prompts import POINT_COLUMNS, BoxPrompt, MaskPrompt, Prompt
from ..videos.stream import FrameStream
from .follow import SHORT_SIDE, follow, rules_for
from .frame_encoder import LOWER
from .stopwatch import Stopwatch

RECORD = "prediction.json"
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", "overlay.mp4")
"""All files that `predict` may write into its folder."""
BOX_COLUMNS = ["frame", "box", "x", "y", "width", "height", "score"]
LOST = 0.1
"""A box is lost when its score falls under this fraction of its first score."""


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
    prompt: Prompt,
    output_dir: str | Path,
    protocol: str | None = None,
    changes: dict[str, Any] | None = None,
    short_side: int | None = SHORT_SIDE,
    overlay: bool = True,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Track a prompt through a video from its first frame on, and write the results.

    Files, named after the frames of the whole video: `masks/<frame>.png`, `boxes.csv` or `points.csv`; `overlay.mp4`;
    and last `prediction.json`, with the protocol, the prompt, the seconds and the command. In `boxes.csv` (0, 0) is the
    corner of the first pixel, in `points.csv` its centre, as in the prompts.

    Args:
        extractor: float RGB `(N, 3, H, W)` in [0, 1] → a single map `(N, C, h, w)`, with its `stride`.
        video: a file, a folder of frames, or a `FrameStream` of a part of a video.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)` of the first frame.
        output_dir: folder of the files.
        protocol: a name: of a propagation protocol, for points also of a point protocol. None is `vidcorr`, for a box
            VFS's tracker.
        changes: fields of the protocol to change; the protocol's name then shows them.
        short_side: short side to which larger frames are reduced, pixels; None keeps the original size. A protocol with
            an input size ignores it, and so does a box.
        overlay: write `overlay.mp4`.
        metadata: further entries of prediction.json.

    Returns:
        The content of prediction.json; `lost` has box → frame after which its score fell under a tenth of its first.

    Raises:
        DataError: if the prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol or field of the protocol, or a folder that holds files of these names.
        OSError: if the folder cannot be written, or another process writes into it.
        Stopped: if a signal asks for it, after the current frame. The files then hold the frames so far, and `complete`
            in prediction.json is false.
    """
    began = time.perf_counter()
    watch = Stopwatch()
    folder = Path(output_dir)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    found = follow(extractor, stream, prompt, protocol, changes, short_side, watch)
    rules = rules_for(extractor, prompt, protocol, changes)
    content: dict[str, Any] = {"video": str(stream.path), "prompt": prompt.metadata(), **(metadata or {})}
    content["stage"] = getattr(extractor, "stage", None)
    content["stride"] = getattr(extractor, "stride", None)
    content["protocol"] = {"digest": rules.digest(), **rules.fields()}
    content |= {"size": list(stream.size), "short_side": short_side, "frame_rate": stream.frame_rate}
    content |= {"part": {"start": stream.start, "end": stream.end}, "complete": False}
    content |= Provenance.now().model_dump(mode="json")
    with FolderLock(folder, "name another output folder"):
        for name in OUTPUTS:
            if (folder / name).exists():
                raise ValueError(f"{folder}: holds {name}; name another output folder")
        write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
        progress = ProgressReport(stream.name, stream.num_frames, "frames")
        advice = f"{stream.path}: lower short_side, or {LOWER}"
        with out_of_memory_advice(advice), PredictionFiles(folder, stream, prompt, overlay) as files, progress:
            for frame, results in found:
                with watch("write"):
                    files.add(frame, results)
                progress.advance()
                signals.check()
        seconds = time.perf_counter() - began
        content |= {
            "frames": files.written,
            "complete": True,
            "lost": files.lost,
            "seconds": round(seconds, 2),
            "seconds_per_frame": round(seconds / files.written, 4),
            "seconds_of": watch.rounded(),
        }
        write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
    return content


class PredictionFiles(AbstractContextManager["PredictionFiles"]):
    """The files of a prediction: masks at once, the table and the film at the end of the context, also after an error.

    Args:
        folder: folder of the prediction.
        stream: the video.
        prompt: its kind selects the files.
        overlay: write `overlay.mp4`.

    Attributes:
        written: number of frames so far.
        lost: name of a box → frame after which its score fell under a tenth of its first.
    """

    def __init__(self, folder: Path, stream: FrameStream, prompt: Prompt, overlay: bool) -> None:
        self.written = 0
        self.lost: dict[str, str] = {}
        self._folder = folder
        self._stream = stream
        self._prompt = prompt
        self._names = list(map(str, prompt.objects))
        self._colours = overlays.distinct_colours(len(self._names))
        self._first_scores: list[float] = []
        self._recent: list[NDArray[np.float64]] = []
        self._lines: list[list[str]] = []
        self._film = Mp4Writer(folder / "overlay.mp4", stream.frame_rate, crf="23") if overlay else None
        if isinstance(prompt, MaskPrompt):
            (folder / "masks").mkdir()
            self._mask_colours = davis_palette()
            self._mask_colours[list(map(int, prompt.objects))] = self._colours

    def add(self, frame: Tensor, found: Any) -> None:
        """Write the results of the next frame, uint8 `(3, H, W)`, as `follow` gives them."""
        if isinstance(self._prompt, MaskPrompt):
            stem = self._stream.stem(self.written)
            write_ids(self._folder / "masks" / f"{stem}.png", found.numpy(), overlays.DAVIS_COLOURS)
        else:
            number = f"{self._stream.start + self.written:05d}"
            numbers = np.asarray(found, np.float64)
            self._recent = [*self._recent[-overlays.TAIL :], numbers]
            if isinstance(self._prompt, BoxPrompt):
                self._note_lost(number, numbers[:, -1].tolist())
            for name, row in zip(self._names, numbers.tolist(), strict=True):
                cells = [f"{value:.4f}" if value == value else "" for value in row]  # NaN is empty
                self._lines.append([number, name, *cells])
        if self._film is not None:
            self._film.add(self._drawn(frame, found))
        self.written += 1

    def _note_lost(self, number: str, scores: list[float]) -> None:
        """Note the boxes whose score falls under a tenth of their first score, which the second frame has."""
        if self.written == 1:
            self._first_scores = scores
        for name, first, score in zip(self._names, self._first_scores, scores, strict=False):
            if first > 0 and score < LOST * first:
                self.lost.setdefault(name, f"{int(number) - 1:05d}")

    def _drawn(self, frame: Tensor, found: Any) -> Picture:
        """Return the frame with its results, `(H, W, 3)`."""
        if isinstance(self._prompt, MaskPrompt):
            return overlays.overlay_masks(frame, found, colours=self._mask_colours, labelled=True)
        if isinstance(self._prompt, BoxPrompt):
            labels = self._names if len(self._names) > 1 else []
            return overlays.draw_boxes(frame, found[:, :4], self._colours, labels)
        if found.shape[1] == 4:  # with occlusion
            tracks = np.stack(self._recent, axis=1)
            now = tracks.shape[1] - 1
            return overlays.overlay_tracks(frame, tracks[..., :2] + 0.5, tracks[..., 3] > 0, now, self._colours)
        return overlays.draw_points(frame, found, self._names, self._colours)

    def __exit__(self, *_: object) -> None:
        if isinstance(self._prompt, BoxPrompt):
            write_atomically(self._folder / "boxes.csv", csv_text([BOX_COLUMNS, *self._lines]))
        elif not isinstance(self._prompt, MaskPrompt):
            columns = [*POINT_COLUMNS, "score", "occluded"]
            width = len(self._lines[0]) if self._lines else len(columns)
            write_atomically(self._folder / "points.csv", csv_text([columns[:width], *self._lines]))
        if self._film is not None:
            self._film.close()
