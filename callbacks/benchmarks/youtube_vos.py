"""Video object segmentation on YouTube-VOS: a hold-out split that is scored here, predictions for the server."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from datamodules.datasets import MaskSequence, YoutubeVos
from lightning_modules.functional import PropagationProtocol

from ..metrics import RegionBoundary
from ..tracking.label_propagation import over_ranks
from ..tracking.masks import zip_predictions
from .mask_benchmark import MaskBenchmark, ObjectScorer
from .ranks import Ranks


class YoutubeVosBenchmark(MaskBenchmark):
    """J and F of propagated masks on YouTube-VOS, apart for categories that training has seen and has not seen.

    An object enters with its first annotation, at any frame, and is scored on the annotated frames after that one.
    J and F are means over the frames of an object, then over the objects; `Overall` is the mean of the four. Where
    there are objects of one kind only, its two scores are logged alone and `Overall` is their mean.

    Logs `youtube_vos/Overall`, `youtube_vos/J-Seen`, `F-Seen`, `J-Unseen`, `F-Unseen`. The masks of "valid" and "test"
    are with the server: the predictions of its frames are packed into predictions.zip as it wants them,
    `Annotations/<video>/<frame>.png`. How the server treats an object's first frame is not published.

    Paper: Xu et al., YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark (arXiv:1809.03327).

    Args:
        root: folder that holds train and valid.
        split: "holdout", "train", "valid" or "test", see `YoutubeVos`.
        all_frames: follow the objects through every frame; those asked for stay every fifth.
        holdout: see `YoutubeVos`.
        unseen: see `YoutubeVos`.
        seed: see `YoutubeVos`.
        predictions: write the predicted masks.
        protocol: VFS defines no values for this benchmark, so it is this project's own choice; `liir` has values.
        kwargs: those of `LabelPropagation`.

    Raises:
        DataError: when the data are first read, one line that names the file.
    """

    name = "youtube_vos"
    protocols_like = ("youtube_vos",)
    ranked_by = ("J-Mean", "F-Mean")

    def __init__(
        self,
        root: str | Path,
        split: Literal["valid", "train", "test", "holdout"] = "valid",
        all_frames: bool = False,
        holdout: float = 0.05,
        unseen: int = 5,
        seed: int = 0,
        predictions: bool = True,
        protocol: str | PropagationProtocol = "vidcorr",
        **kwargs: Any,
    ) -> None:
        super().__init__(predictions, protocol=protocol, **kwargs)
        self.root, self.split, self.all_frames = root, split, all_frames
        self.holdout, self.unseen, self.seed = holdout, unseen, seed
        self.metrics: list[RegionBoundary] = []

    def read(self) -> Sequence[MaskSequence]:
        """See `BenchmarkCallback`."""
        return YoutubeVos(self.root, self.split, self.all_frames, self.holdout, self.unseen, self.seed)

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`."""
        super().start(extractor, ranks)
        arguments: dict[str, Any] = {"process_group": ranks.group, "sync_on_compute": False}
        self.metrics = [RegionBoundary(ends_scored=True, **arguments) for _ in self.stages]

    def scorer(self, sequence: MaskSequence, pool: Executor) -> ObjectScorer | None:
        """See `MaskBenchmark`."""
        return ObjectScorer(sequence, self.metrics, pool) if sequence.ground_truth else None

    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `LabelPropagation`; a row also tells the object's category, and whether training has not seen it."""
        _, rows = over_ranks(self.metrics[stage])
        known = {
            f"{sequence.name}_{number}": {
                "Category": sequence.categories.get(number, ""),
                "Unseen": number in sequence.unseen,
            }
            for sequence in self.sequences
            for number in sequence.objects
        }
        rows = [row | known[row["Sequence"]] for row in rows]
        return seen_and_unseen(rows), rows

    def pack(self, folder: Path) -> None:
        """See `BenchmarkCallback`: the server's predictions.zip, where the ground truth is not here."""
        if self.predictions and self.split in ("valid", "test"):
            for stage in self.stages:
                zip_predictions(folder / stage, "Annotations")

    def about(self) -> dict[str, Any]:
        """See `BenchmarkCallback`."""
        held_out = {"holdout": self.holdout, "unseen": self.unseen, "seed": self.seed}
        return {
            "split": self.split,
            "all_frames": self.all_frames,
            **(held_out if self.split == "holdout" else {}),
            **super().about(),
        }


def seen_and_unseen(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """`Overall` and J and F of seen and unseen categories.

    Args:
        rows: one per object, with `J-Mean`, `F-Mean` and `Unseen`.

    Returns:
        Fractions; empty where there are no rows.

    Example:
        >>> rows = [{"J-Mean": 0.5, "F-Mean": 0.75, "Unseen": False}, {"J-Mean": 0.25, "F-Mean": 0.5, "Unseen": True}]
        >>> seen_and_unseen(rows)
        {'Overall': 0.5, 'J-Seen': 0.5, 'F-Seen': 0.75, 'J-Unseen': 0.25, 'F-Unseen': 0.5}
    """
    scores = {
        f"{measure}-{kind}": float(np.mean([row[f"{measure}-Mean"] for row in chosen]))
        for kind, unseen in (("Seen", False), ("Unseen", True))
        if (chosen := [row for row in rows if row["Unseen"] is unseen])
        for measure in ("J", "F")
    }
    return {"Overall": float(np.mean(list(scores.values()))), **scores} if scores else {}
