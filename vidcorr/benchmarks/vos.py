"""Video object segmentation on any labelled videos: MOSE, a user's videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ..datasets import MaskSequence, Vos
from ..metrics.rules import RULES
from ..protocols import PropagationProtocol
from ..videos.files import require_one_of
from .mask_benchmark import MaskBenchmark


@dataclass(frozen=True)
class VosBenchmark(MaskBenchmark):
    """Score propagated masks on a folder of frames and a folder of indexed masks: J and F per object.

    Masks may be dense or sparse. By the default rules an object may enter with any mask, and is scored on the annotated
    frames after it. A video with no mask after its objects' first is predicted, not scored; the predictions of all
    videos are then packed into predictions.zip.

    Logs `vos/J&F-Mean`, `vos/J-Mean`, `vos/F-Mean`, recall and decay; other rules log the scores that `vidcorr score`
    names. Files: results.json, per_sequence.csv, predictions as indexed PNGs, overlays.

    Args:
        root: folder that holds the two folders.
        split: path of a list with a name per line, relative to root or absolute, or the name without `.txt` of a list
            in root or `root/ImageSets`; None is every video.
        frames: folder of the frames in root, with a folder per video.
        masks: folder of the masks.
        one_object: merge all ids into a single object, as in DAVIS-2016.
        size_tolerance: largest difference of a mask and its frame in height and width, pixels; the mask is resized to
            the frame by nearest pixel.
        rules: the data set's scoring rules, as in `vidcorr score`: "youtube-vos", "davis-2017", "davis-2016" or
            "vos-benchmark" (MOSE).
        protocol: a protocol, or the name of a protocol with values for DAVIS (`vfs`, `crw`, `dino`, …).

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: if the protocol defines no values for this benchmark, or for unknown rules.
    """

    name = "vos"
    conditions: ClassVar[Mapping[str, str]] = {"split": "{}", "rules": "{[name]}", "one_object": "one object"}

    root: str | Path
    split: str | None = None
    frames: str = "JPEGImages"
    masks: str = "Annotations"
    one_object: bool = False
    size_tolerance: int = 0
    rules: str = "youtube-vos"
    protocol: str | PropagationProtocol = "vfs"

    def __post_init__(self) -> None:
        require_one_of(RULES, rules=self.rules)
        super().__post_init__()

    def read(self) -> Sequence[MaskSequence]:
        """Open the folders and lists; without objects that start after the first mask, if the rules let none enter."""
        videos = Vos(self.root, self.split, self.frames, self.masks, self.one_object, self.size_tolerance)
        return videos if self.scoring_rules.objects_enter else list(map(_without_later_objects, videos))


def _without_later_objects(video: MaskSequence) -> MaskSequence:
    first = video.begin
    return replace(video, starts={number: first for number, start in video.starts.items() if start == first})
