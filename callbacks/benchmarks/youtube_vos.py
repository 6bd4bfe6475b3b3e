"""Video object segmentation on YouTube-VOS: a hold-out split that is scored here, predictions for the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from datamodules.datasets import MaskSequence, YoutubeVos
from lightning_modules.functional import PropagationProtocol

from .evaluation import RunContext
from .mask_evaluation import MaskBenchmark, MaskEvaluation


class YoutubeVosBenchmark(MaskBenchmark):
    """Score propagated masks on YouTube-VOS: J and F, separately for categories seen and not seen in training.

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
        protocol: name of a protocol for YouTube-VOS, or a protocol; VFS defines no values for it, so the default
            is this project's own choice.
        kwargs: those of `BenchmarkCallback`: changes, predictions, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: at the start of `fit`, if the run would train on videos that the hold-out split scores.
    """

    name = "youtube_vos"
    score_names = ("Overall", "J-Seen", "F-Seen", "J-Unseen", "F-Unseen")
    protocols_like = ("youtube_vos",)
    text_columns = ("Category", "Unseen")
    recorded = ("split", "all_frames")
    archive = "Annotations"

    def __init__(
        self,
        root: str | Path,
        split: Literal["valid", "train", "test", "holdout"] = "valid",
        all_frames: bool = False,
        holdout: float = 0.05,
        unseen: int = 5,
        seed: int = 0,
        protocol: str | PropagationProtocol = "vidcorr",
        **kwargs: Any,
    ) -> None:
        super().__init__(rules="youtube-vos", protocol=protocol, **kwargs)
        self.root, self.split, self.all_frames = root, split, all_frames
        self.holdout, self.unseen, self.seed = holdout, unseen, seed

    def read(self) -> Sequence[MaskSequence]:
        """Open the data set."""
        data = YoutubeVos(self.root, self.split, self.all_frames, self.holdout, self.unseen, self.seed)
        self.unseen_names = data.unseen_categories
        self.videos = {
            video.name: {"objects": {str(i): {"category": video.categories.get(i, "none")} for i in video.objects}}
            for video in data
        }
        return data

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Refuse to train on held-out videos that are scored, unless the data module sets `include_holdout`."""
        super().on_fit_start(trainer, pl_module)
        data: Any = getattr(trainer, "datamodule", None)
        if self.split != "holdout" or getattr(data, "include_holdout", True):
            return
        trained = {Path(entry.path).stem for entry in data.videos}
        if both := sorted(sequence.name for sequence in self.sequences if sequence.name in trained):
            raise ValueError(
                f"{self.name}: {len(both)} of the {len(self.sequences)} sequences that it holds out are trained on, "
                f"such as {both[0]}: training leaves out those of the default holdout, unseen and seed, in the layout "
                "of YouTube-VOS; take the others out of data.source, or train on them with --data.include_holdout true"
            )

    def start(self, extractor: nn.Module, context: RunContext) -> MaskEvaluation:
        """Begin a run; a row also gives the object's category, and whether training has not seen it."""
        evaluation = super().start(extractor, context)
        evaluation.columns = {
            (sequence.name, str(number)): {
                "Category": sequence.categories.get(number, ""),
                "Unseen": sequence.categories.get(number) in self.unseen_names,
            }
            for sequence in self.sequences
            for number in sequence.objects
        }
        return evaluation

    def data(self) -> dict[str, Any]:
        """Return split and hold-out."""
        held_out = {"holdout": self.holdout, "unseen": self.unseen, "seed": self.seed}
        return super().data() | (held_out if self.split == "holdout" else {})
