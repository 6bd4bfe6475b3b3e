"""Video object segmentation on any labelled videos (MOSE, LVOS, VOST, SA-V, a user's own), and on YouTube-VOS."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from datamodules.datasets import MaskSequence, Vos, YoutubeVos
from datamodules.reading.guards import DataError, read_names, read_videos
from lightning_modules.functional import PropagationProtocol

from ..metrics.rules import RULES
from .evaluation import RunContext
from .mask_evaluation import MaskBenchmark, MaskEvaluation


class VosBenchmark(MaskBenchmark):
    """Score propagated masks on a folder of frames and a folder of indexed masks: J and F per object.

    Masks may be dense or sparse, with one object or many, and an object may enter with any mask, where the rules know
    objects that enter; it is scored on the annotated frames after that, unless other rules are named. Objects with a
    folder of masks each may overlap (SA-V): each is followed and scored as a sequence of its own, so the network sees
    the frames of a video once for each object, and predictions lie in `predictions/<video>/<object>`. Videos whose
    masks only introduce objects are predicted and packed into predictions.zip.

    Logs `vos/J&F-Mean`, `vos/J-Mean`, `vos/F-Mean`, recall and decay; by other rules what these give, as
    `vidcorr score` names it. Files: results.json, per_sequence.csv, predictions as indexed PNGs, overlays.

    Args:
        root: folder that holds the two folders.
        split: name or path of a list of videos, see `Vos`; None is every video.
        frames: folder of the frames in root, one folder for each video.
        masks: folder of the masks.
        one_object: all ids are one object, as in DAVIS-2016.
        size_tolerance: pixels by which a mask may differ from its frame, see `Vos`.
        rules: the data set's rules by which masks are scored, as in `vidcorr score`: "youtube-vos", "davis-2017",
            "davis-2016", "lvos", "vost", "sa-v", "mose-v2" or "vos-benchmark" (MOSE).
        meta: the data set's metadata file, which the rules of LVOS and MOSEv2 need.
        unseen: file of the names of the videos (LVOS) or categories that training has not seen.
        protocol: name of a protocol that its source defines for DAVIS (`vfs`, `crw`, `dino`, …), or a protocol.
        kwargs: those of `BenchmarkCallback`: changes, predictions, name, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: if the protocol defines no values for this kind of benchmark, or the rules need metadata.
    """

    name = "vos"
    recorded = ("split", "one_object")

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        frames: str = "JPEGImages",
        masks: str = "Annotations",
        one_object: bool = False,
        size_tolerance: int = 0,
        rules: str = "youtube-vos",
        meta: str | Path | None = None,
        unseen: str | Path | None = None,
        protocol: str | PropagationProtocol = "vfs",
        **kwargs: Any,
    ) -> None:
        offered = [name for name, known in RULES.items() if meta is not None or not known.needs_meta]
        if rules not in offered:
            remedy = "; give these their metadata file, meta" if rules in RULES else ""
            raise ValueError(f"VosBenchmark: rules {rules!r}: expected one of {', '.join(offered)}{remedy}")
        super().__init__(rules=rules, protocol=protocol, **kwargs)
        self.score_names = self.rules.score_names
        self.root, self.split, self.frames, self.masks = root, split, frames, masks
        self.one_object, self.size_tolerance = one_object, size_tolerance
        self._meta, self._unseen = meta, unseen

    def read(self) -> Sequence[MaskSequence]:
        """Open the folders; see `BenchmarkCallback`."""
        if self._meta is not None:
            self.videos = read_videos(Path(self._meta).expanduser())
        if self._unseen is not None:
            remedy = "give the data set's list of unseen names"
            self.unseen_names = set(read_names(Path(self._unseen).expanduser(), remedy))
        videos = Vos(self.root, self.split, self.frames, self.masks, self.one_object, self.size_tolerance)
        if self.rules.needs_meta and (lacking := [one for one in videos if one.video not in self.videos]):
            raise DataError(f"{self._meta}: has no video {lacking[0].video}")
        if not self.rules.objects_enter:
            return self.scorable([_of_first_mask(video) for video in videos])
        return self.scorable(videos)


def _of_first_mask(video: MaskSequence) -> MaskSequence:
    """Return a video with the objects of its first mask alone."""
    return replace(video, starts={number: 0 for number, start in video.starts.items() if start == 0})


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
            f"{sequence.name}_{number}": {
                "Category": sequence.categories.get(number, ""),
                "Unseen": sequence.categories.get(number) in self.unseen_names,
            }
            for sequence in self.sequences
            for number in sequence.objects
        }
        return evaluation

    def metadata(self) -> dict[str, Any]:
        """Return split and hold-out, for results.json."""
        held_out = {"holdout": self.holdout, "unseen": self.unseen, "seed": self.seed}
        return super().metadata() | (held_out if self.split == "holdout" else {})
