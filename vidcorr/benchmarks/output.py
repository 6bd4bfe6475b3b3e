"""The files of a run: of each sequence while it is tracked, then tables, archive, page and results.json."""

import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from ..datasets.sequences import FrameSequence
from ..results.page import write_report
from ..results.pictures.animations import FRAMES, WIDTH, Curve, Frame, write_animation
from ..results.pictures.overlays import DAVIS_COLOURS, Picture, contact_sheet, evenly_spaced, resized, write_picture
from ..results.result import Result
from ..videos.files import unfinished, user_path, write_atomically
from ..videos.masks import write_ids

log = logging.getLogger(__name__)

MAX_PICTURES = 8
OVERLAY_FRAMES = 5

Draw = Callable[..., Picture]
"""Frame, uint8 `(3, H, W)`, with its results (and another one to draw beside them) → image `(H, W, 3)`."""


class Output:
    """The files of a run, as a rank writes them; without a folder it writes none.

    Attributes:
        pictures: name → overlay of the first few sequences, for a logger.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else user_path(folder)
        self.pictures: dict[str, Picture] = {}

    def mask(self, file: Path, ids: Tensor, kind: str = "") -> None:
        """Write predicted ids `(H, W)` uint8 as an indexed PNG, below a folder `kind` of one of several labels."""
        if self.folder is not None:
            write_ids(self.folder / kind / "predictions" / file, ids.numpy(), DAVIS_COLOURS)

    def text(self, path: str, text: str) -> None:
        if self.folder is not None:
            write_atomically(self.folder / path, text)

    def archive(self, packed: Mapping[Path, Path]) -> None:
        """Pack files of the predictions into predictions.zip, each under the path to which `packed` maps it."""
        if self.folder is not None and packed:
            place = self.folder / "predictions.zip"
            with unfinished(place) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                for file in sorted(packed):
                    archive.write(self.folder / "predictions" / file, packed[file])

    def finish(self, result: Result) -> None:
        """Write the page, and results.json last; the first rank calls it."""
        if self.folder is None:
            return
        try:
            write_report(self.folder, result=result)
        # no flaw of the page may take the scores away
        except Exception as error:
            # left by an earlier run
            (self.folder / "report.html").unlink(missing_ok=True)
            log.warning("%s: report.html could not be written: %s", result.benchmark, error)
        result.save(self.folder)
        log.info("%s: results are in %s", result.benchmark, self.folder)


class SequencePictures:
    """The pictures of a sequence: five frames side by side, and an animation; none in a run without a folder.

    Args:
        draw: draws results over a frame.
        kind: folder of the files, if a benchmark follows the sequence in several ways.
        caption: what the animation shows.
    """

    def __init__(
        self, output: Output, sequence: FrameSequence, draw: Draw, *, kind: str = "", caption: str = ""
    ) -> None:
        self._output = output
        self._name = "/".join(filter(None, (kind, sequence.name)))
        self._facts = {"sequence": sequence.name, "kind": kind, "caption": caption}
        self._draw = draw
        self._added = 0
        self._overlays: list[Picture] = []
        self._animated: dict[int, Frame] = {}  # index of a frame → its picture, and that of its truth
        if output.folder is None:
            return
        frames = sequence.num_frames - sequence.begin
        self._overlay_file = output.folder / kind / "overlays" / f"{sequence.name}.png"
        # indices of frames, 0 for the first that is followed
        self._chosen_for_overlay = evenly_spaced(frames, OVERLAY_FRAMES)
        self._chosen_for_animation = evenly_spaced(frames, FRAMES)

    def add(self, frame: Tensor, results: object, *beside: object, truth: object = None) -> None:
        """Draw the results of the next frame; the animation has the ground truth in a second picture."""
        t = self._added
        self._added += 1
        if self._output.folder is None:
            return
        is_animated = t in self._chosen_for_animation
        if t not in self._chosen_for_overlay and not is_animated:
            return
        picture = self._draw(frame, results, *beside)
        if t in self._chosen_for_overlay:
            self._overlays.append(picture)
        if is_animated:
            annotated = None if truth is None else resized(self._draw(frame, truth), WIDTH)
            self._animated[t] = resized(picture, WIDTH), annotated

    def close(self, curves: Mapping[str, Curve] | None = None) -> None:
        """Write the animation, with curves over the frames, and the overlay."""
        if self._output.folder is None:
            return
        path = self._output.folder / "animations" / f"{self._name}.webp"
        write_animation(path, self._animated, curves, **self._facts)
        sheet = contact_sheet(self._overlays, columns=len(self._overlays))
        write_picture(self._overlay_file, sheet)
        if len(self._output.pictures) < MAX_PICTURES:
            self._output.pictures[self._name] = sheet
