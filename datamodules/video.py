"""Training clips from a folder or list of video files and folders of frames."""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_info
from torch.utils.data import DataLoader

from vidcorr.datasets.youtube_vos_files import held_out_among
from vidcorr.videos.addresses import file_name, is_address
from vidcorr.videos.files import DataError, require_at_least, require_fractions
from vidcorr.videos.source import Listing, SourceEntry, folder_of, hashed_rank, is_video, list_videos, open_video

from .base import SampledDataModule, Sources
from .loading.batch_colours import ColourAugmentation
from .loading.clips import ClipDataset
from .loading.loader import FixedSampler, ResumableLoader
from .loading.sampling import Crops, Distant, FrameSampling, RandomCrops

LOOKED_AT = 200
"""Most training videos whose length the plan asks for."""


class VideoDataModule(SampledDataModule):
    """Clips of T frames from videos.

    A batch is a dictionary:

    - `clip`: (B, T, 3, size, size) uint8 from the loader; float RGB in [0, 1] on the device;
    - `video_index`: (B,) long, index of the video in the source;
    - `frame_index`: (B, T) long, zero-based;
    - `failures`: a line per video that could not be decoded and was replaced.

    Without validation videos the validation loader gives an empty dictionary, so that validation hooks run. Draws in
    workers are a function of (seed, epoch, sample), draws on the device of (seed, epoch, batch, rank).

    Args:
        source: folder that is searched for video files and folders of frames, without folders of annotations; a list
            (.txt) with a path per line, in which a class number after a path is not read; a video file; or an address
            of these (`list_videos`). Several of them are all trained on. Empty: none yet, which `setup` refuses.
        frames: T, frames in a clip.
        sampling: choice of a clip's frames, `Distant`, `Continuous`, `Looping`, `GapPairs` or `FractionPairs`.
        size: side of the frames, pixels.
        crops: how frames become squares, `RandomCrops`, `CentreCrops`, `WholeFrames` or `PairCrops`.
        colour: apply colour jitter, greyscale and blur, in training, on the device (`loading.clips.prepared`).
        blur_sigma: smallest and largest standard deviation of that blur, pixels. The default is VFS's released value,
            which hardly blurs; its paper cites MoCo v2, which has (0.1, 2.0).
        batch_size: clips per rank.
        num_workers: decoding processes per rank; by default the usable cores, at most 8.
        validation_fraction: fraction of the videos kept for validation, at least one video unless 0.
        include_holdout: also train on videos that a benchmark of the run scores, and on those of YouTube-VOS that
            `YoutubeVos(split="holdout")` scores. By default the first are refused; the second are left out of a folder
            and refused in a list.
        samples_per_epoch: clips in an epoch, drawn with replacement from all frames of all videos; by default an epoch
            takes a clip per video.
        repeat: passes over the videos in an epoch.
        seed: seed of every draw; None: the run's.

    Raises:
        ValueError: for a number out of range.
        TypeError: for a sampling or crops that cannot be called.
        DataError: from `setup`, without a source, or if it is not as described.
    """

    training: ClipDataset | None = None
    held_out: ClipDataset | None = None

    def __init__(
        self,
        source: Sources = "",
        frames: int = 8,
        sampling: FrameSampling = Distant(),
        size: int = 224,
        crops: Crops = RandomCrops(),
        colour: bool = False,
        blur_sigma: tuple[float, float] = (0.1, 0.2),
        batch_size: int = 32,
        num_workers: int | None = None,
        validation_fraction: float = 0.02,
        include_holdout: bool = False,
        samples_per_epoch: int | None = None,
        repeat: int = 1,
        seed: int | None = None,
    ) -> None:
        super().__init__(source, batch_size, num_workers, seed)
        require_at_least(1, frames=frames, size=size, repeat=repeat)
        multiple = getattr(sampling, "multiple", 1)  # 2 for samplings that draw pairs
        if frames % multiple:
            raise ValueError(f"frames {frames}: {type(sampling).__name__} draws a multiple of {multiple}")
        if samples_per_epoch is not None:
            require_at_least(1, samples_per_epoch=samples_per_epoch)
        require_fractions(validation_fraction=validation_fraction)
        self.has_source = bool(source)
        self.validation_fraction = validation_fraction
        self.include_holdout = include_holdout
        self.samples_per_epoch = samples_per_epoch
        self.repeat = repeat
        self.sampling = partial(sampling, n=frames)
        # a user's own sampling may be any function
        self.least_frames: int = sampling.least_frames(frames) if isinstance(sampling, FrameSampling) else 1
        self.training_crops = partial(crops, size=size)
        self.evaluation_crops = partial(crops.of_evaluation, size=size)
        self.colour = ColourAugmentation(sigma=blur_sigma) if colour else None
        self.videos: tuple[SourceEntry, ...] = ()

    def setup(self, stage: str = "fit") -> None:
        """List the source and keep videos for validation; a second call does nothing."""
        if self.videos:
            return
        if not self.has_source:
            raise DataError("data.source: give a folder of videos")
        self.videos = self.list_source()
        training, validation = self._split()
        if stage == "fit" and validation and not training:
            remedy = "give more videos, or set data.validation_fraction 0"
            raise DataError(f"{self.named}: validation holds out every video; {remedy}")
        # with `samples_per_epoch` a video is drawn in proportion to its frames
        weights = self._count_frames(training) if self.samples_per_epoch else None
        if weights and not any(weights):
            raise DataError(f"{self.named}: no video can be opened")
        length = self.samples_per_epoch or len(training) * self.repeat
        crops = self.training_crops
        self.training = ClipDataset(self.videos, training, self.sampling, crops, length, weights, self.seed)
        if validation:
            self.held_out = self._evaluation_clips(validation)

    def _evaluation_clips(self, videos: Sequence[int]) -> ClipDataset:
        # the complement of the seed gives other draws than in training
        return ClipDataset(self.videos, videos, self.sampling, self.evaluation_crops, len(videos), seed=~self.seed)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return a loader of one clip per video, in the order of `videos`; it includes the videos of training."""
        every = self._evaluation_clips(range(len(self.videos)))
        return ResumableLoader(every, sampler=FixedSampler(every), **self._arguments())

    def list_source(self) -> tuple[SourceEntry, ...]:
        """List the videos of all sources; log how many are folders of images."""
        videos = self.listed(list_videos)
        folders = sum(not (is_address(entry.file) or is_video(entry.file)) for entry in videos)
        if folders:
            rank_zero_info(
                f"{self.named}: {folders} folders of images are read as a video each; for separate images take "
                "--data ImageClipDataModule"
            )
        return videos

    def listed(self, search: Callable[[str], Listing]) -> tuple[SourceEntry, ...]:
        """Return the entries that a search finds in all sources, and log what is left out.

        A path that several sources name counts once; a single list may name a path twice, to weigh it.
        Without `include_holdout`, videos of YouTube-VOS's hold-out split are left out of a folder, and refused in a
        list.

        Args:
            search: source → its entries, `list_videos` or `list_single_images`.

        Raises:
            DataError: for a source that the search refuses, or a list that names a video of the hold-out split.
        """
        kept: list[SourceEntry] = []
        for source in self.sources:
            listing = search(source)
            if listing.annotations:  # folders beside the videos, which are no videos
                rank_zero_info(f"{source}: {listing.left_out()}")
            entries = listing.entries
            left_out = frozenset[str]() if self.include_holdout else held_out_among(entry.file for entry in entries)
            if left_out and os.path.isfile(source):
                raise DataError(
                    f"{source}: {len(left_out)} of {len(entries)} videos belong to YouTube-VOS's hold-out split, such "
                    f"as {min(left_out)}; take them out of the list, or set data.include_holdout to train on them"
                )
            if left_out:
                rank_zero_info(f"{source}: {len(left_out)} videos of YouTube-VOS's hold-out split are left out")
            kept += [entry for entry in entries if entry.file not in left_out]
        return tuple(dict.fromkeys(kept) if len(self.sources) > 1 else kept)

    def plan_row(self) -> tuple[str, str]:
        """Return a row of the plan that is printed before training: the videos, and how many repeat a frame."""
        held_out = 0 if self.held_out is None else len(self.held_out.indices)
        return "videos", f"{len(self.videos)} of {self.named}, {held_out} held out{self._shorter_videos()}"

    def _shorter_videos(self) -> str:
        if self.least_frames <= 1 or self.training is None:
            return ""
        training = self.training.indices.tolist()
        looked_at = training[:: math.ceil(len(training) / LOOKED_AT)]
        short = sum(0 < frames < self.least_frames for frames in self._count_frames(looked_at))
        of = f"{len(looked_at)} videos" if looked_at == training else f"the {len(looked_at)} videos looked at"
        return f"; {short} of {of} are shorter than {self.least_frames} frames: their last repeats" if short else ""

    def trained_videos(self) -> set[str]:
        """Return the real paths and addresses of the training videos and their names, which no benchmark may score.

        Empty before `setup`, and if `include_holdout` allows to train on scored videos.
        """
        if self.training is None or self.include_holdout:
            return set()
        trained: set[str] = set()
        for index in self.training.indices:
            file = self.videos[index].file
            trained.update((Path(file_name(file)).stem, file if is_address(file) else os.path.realpath(file)))
        return trained

    def _split(self) -> tuple[list[int], list[int]]:
        # validation has the smallest hashes of paths: if the source gains a video, few others change sides
        if not self.validation_fraction:
            return list(range(len(self.videos))), []
        count = max(1, round(self.validation_fraction * len(self.videos)))
        ranked = sorted(range(len(self.videos)), key=lambda index: self.hold_out_key(self.videos[index].file))
        return sorted(ranked[count:]), sorted(ranked[:count])

    def hold_out_key(self, path: str) -> bytes:
        """Return the key by which held-out videos are sorted; it depends on the seed and the path from the source."""
        for root in self._roots:  # each ends with a separator; "" is the working directory
            if root and path.startswith(root) and "/.." not in path:  # the same text as `relpath`'s, in less time
                return hashed_rank(self.seed, path[len(root) :])
        # it lies outside the folders of the sources, as a path or an address in a list may
        if is_address(path):
            return hashed_rank(self.seed, path)
        root = next((root for root in self._roots if not is_address(root)), "") or "."
        return hashed_rank(self.seed, os.path.relpath(path, root))

    @cached_property
    def _roots(self) -> list[str]:
        return list(map(folder_of, self.sources))

    def _count_frames(self, videos: Sequence[int]) -> list[int]:
        """Return the number of frames of each video; 0, and a warning, if it cannot be opened."""

        def count(index: int) -> int:
            try:
                with open_video(self.videos[index].file) as video:
                    return video.num_frames
            except DataError as error:
                warnings.warn(f"left out: {error}", stacklevel=1)  # the caller is a thread pool
                return 0

        with ThreadPoolExecutor(max(self.num_workers, 1)) as pool:
            return list(pool.map(count, videos))
