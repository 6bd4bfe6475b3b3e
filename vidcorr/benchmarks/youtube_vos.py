"""Video object segmentation on YouTube-VOS: a hold-out split that is scored here, predictions for the server."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..datasets import MaskSequence, YoutubeVos
from ..datasets.youtube_vos_files import HOLDOUT, UNSEEN_CATEGORIES, hold_out, read_meta
from ..metrics.declared import fractions
from ..metrics.rules import scores_of_categories
from ..protocols import PropagationProtocol
from ..results.result import Row
from ..tracking.frame_encoder import FrameEncoder
from ..videos.files import user_path
from .base import sorted_rows
from .mask_benchmark import MaskBenchmark
from .output import Output


@dataclass(frozen=True)
class YoutubeVosBenchmark(MaskBenchmark):
    """Score propagated masks on YouTube-VOS: J and F, separately for categories seen and not seen in training.

    An object enters with its first annotation, at any frame, and is scored on the annotated frames after it. J and F
    are means over the frames of an object, then over the objects; `Overall` is the mean of the four scores. If all
    objects are seen, or all unseen, only two scores are logged and `Overall` is their mean.

    Logs `youtube_vos/Overall`, `youtube_vos/J-Seen`, `F-Seen`, `J-Unseen`, `F-Unseen`. Only the server has the masks of
    "valid" and "test": predictions of its frames are packed into predictions.zip in its layout,
    `Annotations/<video>/<frame>.png`. How the server treats an object's first frame is not published.

    Paper: Xu et al., YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark (arXiv:1809.03327).

    Args:
        root: folder that holds train and valid.
        split: "holdout", a part of "train" that is scored here; "train"; or "valid" or "test", which a server scores.
        all_frames: follow the objects through every frame; predictions are still reported for every fifth frame.
        holdout: fraction of the training videos without unseen categories that is held out.
        unseen: number of held-out categories.
        protocol: a protocol, or the name of a protocol for YouTube-VOS. VFS defines no values for it, so this project
            chose the values of the default.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: at the start of `fit`, if the run would train on videos that the hold-out split scores.
    """

    name = "youtube_vos"
    conditions: ClassVar[Mapping[str, str]] = {
        "split": "{}",
        "holdout": "{} of train",
        "unseen": "{} unseen",
        "all_frames": "all frames",
    }
    declared = fractions("Overall", "J-Seen", "F-Seen", "J-Unseen", "F-Unseen")
    rules = "youtube-vos"
    archive_folder = "Annotations"

    root: str | Path
    split: Literal["valid", "train", "test", "holdout"] = "valid"
    all_frames: bool = False
    holdout: float = HOLDOUT
    unseen: int = UNSEEN_CATEGORIES
    protocol: str | PropagationProtocol = "vidcorr-fast"

    def read(self) -> list[MaskSequence]:
        return YoutubeVos(self.root, self.split, self.all_frames, self.holdout, self.unseen)

    @cached_property
    def unseen_names(self) -> Collection[str]:
        """The categories that the training split has not seen; empty but for the hold-out split."""
        if self.split != "holdout":
            return ()
        videos = read_meta(user_path(self.root) / "train" / "meta.json")
        _, categories = hold_out(videos, self.holdout, self.unseen)
        return categories

    def held_out(self) -> Collection[str]:
        """Return the folders of the sequences; for "holdout" names, which mean train and train_all_frames."""
        if self.split == "holdout":
            return [sequence.name for sequence in self.sequences]
        return super().held_out()

    def score(self, sequence: MaskSequence, encoder: FrameEncoder, output: Output) -> list[Row]:
        """Propagate and score the masks; a row also has `Category` and `Unseen`, True if training lacks it."""
        rows: list[Row] = []
        for row in super().score(sequence, encoder, output):
            category = sequence.categories.get(int(row.object))
            columns: dict[str, Any] = {"Category": category or "", "Unseen": category in self.unseen_names}
            rows.append(Row(video=row.video, object=row.object, values={**row.values, **columns}))
        return rows

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return `Overall`, and J and F of seen and unseen categories, by the rows' column `Unseen`."""
        groups: dict[str, list[Any]] = {"Seen": [], "Unseen": []}
        for row in sorted_rows(rows):
            kind = "Unseen" if row.values["Unseen"] else "Seen"
            groups[kind].append(row.values)
        return scores_of_categories(groups)

    def facts(self, rows: Sequence[Row], encoder: FrameEncoder) -> dict[str, Any]:
        facts = super().facts(rows, encoder)
        # the other splits have the two arguments too, without effect
        if self.split != "holdout":
            facts.pop("holdout", None)
            facts.pop("unseen", None)
        return facts
