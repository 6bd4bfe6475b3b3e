"""The files of a run: of each sequence while it is tracked, then tables, archive, page and results.json."""

import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..datasets.records import FrameSequence
from ..results.page import write_report
from ..results.pictures.animations import SequenceAnimation
from ..results.pictures.overlays import Picture
from ..results.result import Result
from ..tracking.record import Draw, PredictionFile, SequenceWriter
from ..videos.files import write_atomically
from ..videos.mp4 import Mp4Writer

log = logging.getLogger(__name__)

MAX_PICTURES = 8
"""Number of sequences with overlays in the logger."""


class Output:
    """The files of a run, as a rank writes them; without a folder it writes none.

    Args:
        folder: folder of the run.

    Attributes:
        pictures: name → overlay of the first few sequences, for a logger.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.pictures: dict[str, Picture] = {}

    @contextmanager
    def sequence(
        self,
        sequence: FrameSequence,
        draw: Draw,
        prediction: Callable[[Path], PredictionFile] | None = None,
        *,
        frames: int | None = None,
        kind: str = "",
        draw_animation: Draw | None = None,
        video: bool = False,
        caption: str = "",
    ) -> Iterator[SequenceWriter]:
        """Open the files of a sequence during the block: predictions, an overlay, animations.

        Args:
            sequence: the sequence.
            draw: draws results over a frame.
            prediction: folder of predictions → the sequence's file in it; None writes no predictions.
            frames: number of frames that are tracked; None: all of the sequence.
            kind: folder of the files, if a benchmark follows the sequence in several ways.
            draw_animation: draws the frames of the animation; None is `draw`.
            video: also write an overlay of every frame.
            caption: what the animations show.
        """
        frames = frames or sequence.num_frames
        if self.folder is None:
            yield SequenceWriter(frames, draw)
            return
        name = sequence.name
        overlays = self.folder / kind / "overlays"
        files = SequenceWriter(
            frames,
            draw,
            prediction=None if prediction is None else prediction(self.folder / kind / "predictions"),
            overlay=overlays / f"{name}.png",
            animation=SequenceAnimation(self.folder, name, frames, kind, caption),
            draw_animation=draw_animation,
            video=Mp4Writer(overlays / f"{name}.mp4", 30, crf="23") if video else None,
        )
        with files:
            yield files
        if files.sheet is not None and len(self.pictures) < MAX_PICTURES:
            self.pictures[f"{kind}/{name}" if kind else name] = files.sheet

    def table(self, path: str, text: str) -> None:
        """Write a text file of the run."""
        if self.folder is not None:
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text)

    def archive(self, packed: Mapping[Path, Path]) -> None:
        """Pack predictions into predictions.zip.

        Args:
            packed: file in the folder of predictions → its place in the archive; an earlier run may have left other
                files there.
        """
        if self.folder is not None and packed:
            with zipfile.ZipFile(self.folder / "predictions.zip", "w", zipfile.ZIP_STORED) as archive:
                for file in sorted(packed):
                    archive.write(self.folder / "predictions" / file, packed[file])

    def finish(self, result: Result) -> None:
        """Write the page, and results.json last; the first rank calls it."""
        if self.folder is None:
            return
        try:
            write_report(self.folder, result=result)
        except Exception as error:  # no flaw of the page may take the scores away
            (self.folder / "report.html").unlink(missing_ok=True)  # left by an earlier run
            log.warning("%s: report.html could not be written: %s", result.benchmark, error)
        result.save(self.folder)
        log.info("%s: results are in %s", result.benchmark, self.folder)
