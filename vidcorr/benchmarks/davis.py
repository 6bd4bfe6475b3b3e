"""Video object segmentation on DAVIS, scored as by the official toolkit."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..datasets import Davis, MaskSequence
from ..protocols import PropagationProtocol
from ..videos.files import user_path
from ..videos.folders import list_folders
from .mask_benchmark import MaskBenchmark


@dataclass(frozen=True)
class DavisBenchmark(MaskBenchmark):
    """Score propagated masks on DAVIS-2017 or 2016: J and F per object, first and last frame not scored.

    Logs `davis/J&F-Mean`, `davis/J-Mean`, `davis/F-Mean`, recall and decay. Files: results.json, per_sequence.csv,
    predictions as indexed PNGs that the official toolkit reads, overlays. Sequences without ground truth (test-dev) are
    predicted and packed into predictions.zip.

    The scores equal the official toolkit's to the last bit. Like the toolkit, it counts every id up to the largest id
    of the first frame, and a missing id as found perfectly (J = F = 1). In DAVIS no id is missing. `VosBenchmark`
    counts only ids that exist.

    Papers: Pont-Tuset et al., The 2017 DAVIS Challenge; VFS, section 4.2.

    Args:
        root: folder with JPEGImages, Annotations, ImageSets.
        year: 2017, or 2016 for a single object per sequence (all ids become object 1).
        split: list under ImageSets/<year>, or the path of a list; None is every sequence.
        resolution: folder under JPEGImages and Annotations.
        annotations: "dense": every frame has ground truth; "first": only the first frame has a mask, nothing is
            scored; None: "first" for the test splits, else "dense".
        size_tolerance: largest difference of a mask and its frame in height and width, pixels.
        protocol: a protocol, or the name of a protocol with values for DAVIS (`vfs`, `crw`, `dino`, …).

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: if the protocol defines no values for this benchmark.
    """

    name = "davis"
    conditions: ClassVar[Mapping[str, str]] = {"year": "{}", "split": "{}", "resolution": "{}"}
    usual: ClassVar[Mapping[str, Any]] = {"resolution": "480p"}

    root: str | Path
    year: Literal[2016, 2017] = 2017
    split: str | None = "val"
    resolution: str = "480p"
    annotations: Literal["dense", "first"] | None = None
    size_tolerance: int = 0
    protocol: str | PropagationProtocol = "vfs"

    def read(self) -> Sequence[MaskSequence]:
        return Davis(self.root, self.year, self.split, self.resolution, self.annotations, self.size_tolerance)

    @property
    def rules(self) -> str:
        return f"davis-{self.year}"

    def held_out(self) -> Collection[str]:
        """Return the folders of the sequences in all resolutions: a training may read another one."""
        frames = user_path(self.root) / "JPEGImages"
        videos = set(super().held_out())
        for resolution in list_folders(frames):
            videos.update(os.path.realpath(frames / resolution / sequence.name) for sequence in self.sequences)
        return videos
