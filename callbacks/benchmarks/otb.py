"""Object tracking on OTB by SiamFC, scored by one-pass evaluation."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from datamodules.datasets import BoxSequence, Otb
from datamodules.datasets.otb import Version
from lightning_modules.backbones import build_encoder
from lightning_modules.backbones.extractor import Dilated

from ..metrics import TrackingSuccess
from ..metrics.tracking import ERRORS, OVERLAPS, box_iou
from ..pictures import (
    OverlayVideo,
    Picture,
    contact_sheet,
    evenly_spaced,
    log_picture,
    overlay_boxes,
    plot_curves,
    write_picture,
)
from ..report import Chart, Film
from ..tracking.boxes import SiamFCTracker, Track, TrackingProtocol
from ..tracking.label_propagation import Stopwatch
from .base import BenchmarkCallback
from .ranks import Ranks

FRAMES_IN_OVERLAY = 5


class OtbBenchmark(BenchmarkCallback):
    """Success and precision of SiamFC tracking on OTB, one pass over each sequence from its first box.

    The features are those of res5 without the strides of res4 and res5, whose 3 × 3 convolutions are dilated instead
    (2 and 4); of a fine-tuned `SiamFC` its own. The module that trains is left as it was.

    Logs `otb/success` (mean of the success curve), `otb/precision@20px` and `otb/success@0.5`. Files: results.json,
    per_sequence.csv, predictions in the text form of the GOT-10k toolkit, success.png and precision.png, overlays.

    Papers: Wu, Lim and Yang, Object Tracking Benchmark (TPAMI 2015); SiamFC; VFS, section 4.2.

    Args:
        root: folder with the sequences' folders.
        version: see `Otb`; None is every sequence that is here.
        allow_missing: see `Otb`; results.json names what was missing.
        changes: fields of `TrackingProtocol` that differ from VFS's; the protocol's name then says so. All but
            `stride` and `dilated`, which are the extractor's.
        stage: of the encoder, one name.
        stride: pixels per feature cell, where `dilated` is False; None is the encoder's own choice.
        dilated: SiamFC's dilations, for ResNets, see `ResNetExtractor`; False for other networks.
        sequences_at_once: sequences that share a pass of the backbone, each in a video of its own. It is faster on a
            GPU; the last digits may then depend on which sequences met.
        predictions: write the predicted boxes.
        video: write an overlay video of each sequence.
        kwargs: those of `BenchmarkCallback`: every_n_epochs, before_training, limit_sequences, output_dir, fatal.

    Raises:
        ValueError: for a bad argument.
        DataError: when the data are first read, one line that names the file.
    """

    name = "otb"
    ranked_by = ("success",)
    films_show = "red: the box that was tracked; white: the annotation"

    def __init__(
        self,
        root: str | Path,
        version: Version | None = "tb100",
        allow_missing: bool = False,
        changes: dict[str, Any] | None = None,
        stage: str | None = "res5",
        stride: int | None = None,
        dilated: Dilated = True,
        sequences_at_once: int = 1,
        predictions: bool = True,
        video: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sequences_at_once < 1:
            raise ValueError(f"OtbBenchmark: sequences_at_once is {sequences_at_once}, it must be at least 1")
        if unknown := sorted(set(changes or {}) - {field.name for field in dataclasses.fields(TrackingProtocol)}):
            raise ValueError(f"OtbBenchmark: a tracking protocol has no field {', '.join(unknown)}")
        if of_features := {"stride", "dilated"} & set(changes or {}):
            field = min(of_features)
            raise ValueError(f"OtbBenchmark: {field} is that of the features; give {field}, not changes")
        if stride is not None and dilated:
            raise ValueError(f"OtbBenchmark: dilated features have their own stride; set dilated to false for {stride}")
        self.root, self.version, self.allow_missing = root, version, allow_missing
        self.protocol = TrackingProtocol(**(changes or {}))
        self.stage, self.stride, self.dilated = stage, stride, dilated
        self.sequences_at_once = sequences_at_once
        self.predictions, self.video = predictions, video
        self.missing: tuple[str, ...] = ()
        self.plots: dict[str, Picture] = {}
        self.stopwatch = Stopwatch()
        self._episodes: list[Episode] = []

    def read(self) -> Sequence[BoxSequence]:
        """See `BenchmarkCallback`."""
        reader = Otb(self.root, self.version, self.allow_missing)
        self.missing = reader.missing
        return reader

    def extractor(self, encoder: nn.Module) -> nn.Module:
        """See `BenchmarkCallback`."""
        return build_encoder(encoder).feature_extractor(self.stage, self.stride, self.dilated)

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`."""
        self.metric = TrackingSuccess(process_group=ranks.group, sync_on_compute=False)
        self.plots, self.stopwatch, self._episodes = {}, Stopwatch(), []
        self._ranks, self._frames = ranks, 0
        self.tracker = self.make_tracker(extractor)
        self._used = self.tracker.protocol
        self._dilated = getattr(extractor, "dilated", False)

    def make_tracker(self, extractor: nn.Module) -> SiamFCTracker:
        """The tracker of a run."""
        return SiamFCTracker(extractor, self.protocol, self.stopwatch)

    def run(self, extractor: nn.Module, sequence: BoxSequence) -> None:
        """See `BenchmarkCallback`; begins a sequence, and goes on until there is room for the next one."""
        self._episodes.append(Episode(sequence, self.tracker, self.folder, self.video))
        while len(self._episodes) >= self.sequences_at_once:
            self._advance()

    def finish(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `BenchmarkCallback`; ends the sequences that are still under way."""
        with self._ranks.together():
            while self._episodes:
                self._advance()
        with self.metric.sync_context():
            rows, curves = self.metric.rows(), self.metric.curves()  # compute() ends the synchronisation
            scores = self.metric.compute()
        if self._ranks.rank == 0 and rows and self.folder is not None:
            self.plots = plot_curves(curves, self._used.name)
            success, precision = (curve.tolist() for curve in curves)
            self.charts = [
                Chart("Success", "overlap threshold", "success rate", {"success": (OVERLAPS.tolist(), success)}),
                Chart("Precision", "location error (px)", "precision", {"precision": (ERRORS.tolist(), precision)}),
            ]
        return scores, list(rows)

    def _advance(self) -> None:
        """One frame of every sequence under way."""
        under_way: list[tuple[Episode, Tensor]] = []
        for episode in self._episodes:
            with self.stopwatch("decode"):
                frame = next(episode.frames, None)
            if frame is None:
                self._close(episode)
            else:
                under_way.append((episode, frame))
        self._episodes = [episode for episode, _ in under_way]
        if not under_way:
            return
        pictures = [frame.permute(1, 2, 0).numpy() for _, frame in under_way]
        boxes = self.tracker.step([episode.track for episode in self._episodes], pictures)
        self._frames += len(under_way)
        with self.stopwatch("draw"):
            for (episode, frame), box in zip(under_way, boxes, strict=True):
                episode.add(frame, box)

    def _close(self, episode: "Episode") -> None:
        sequence, boxes = episode.sequence, np.stack(episode.boxes)
        self.metric.update(boxes, sequence.boxes, name=sequence.name)
        if self.folder is None:
            return
        self.keep(sequence.name, episode.close(self.folder))
        if self.predictions:
            path = self.folder / "predictions" / f"{sequence.name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(path, boxes, fmt="%.3f", delimiter=",")

    def close(self) -> None:
        """See `BenchmarkCallback`; the tracker has a copy of the backbone."""
        for episode in self._episodes:
            episode.abandon()
        self._episodes = []
        vars(self).pop("tracker", None)

    def pack(self, folder: Path) -> None:
        """See `BenchmarkCallback`: the plots."""
        for name, picture in self.plots.items():
            write_picture(folder / f"{name}.png", picture)

    def draw(self, logger: Any, step: int) -> None:
        """See `BenchmarkCallback`: the plots and the overlays of a few sequences."""
        for name, picture in self.plots.items():
            log_picture(logger, f"{self.name}/{name}", picture, step)
        super().draw(logger, step)

    def about(self) -> dict[str, Any]:
        """See `BenchmarkCallback`."""
        protocol = self._used
        seconds = {work: round(value, 2) for work, value in self.stopwatch.seconds.items()}
        return {
            "version": self.version,
            "missing": list(self.missing),
            "dilated": self._dilated,
            "sequences_at_once": self.sequences_at_once,
            "protocol": {"digest": protocol.digest(), **protocol.fields()},
            "frames_of_rank_0": self._frames,
            "seconds_of_rank_0": seconds,
        }


class Episode:
    """One sequence while it is tracked: its frames, the boxes found so far, what is drawn of it.

    Args:
        sequence: with frames and annotated boxes, of which the tracker sees the first.
        tracker: takes up the target of the first frame.
        folder: of the run; None draws nothing.
        video: write overlays/<sequence>.mp4.
    """

    def __init__(self, sequence: BoxSequence, tracker: SiamFCTracker, folder: Path | None, video: bool) -> None:
        self.sequence = sequence
        self.frames = sequence.read()
        self.boxes: list[np.ndarray] = []
        self._chosen = evenly_spaced(sequence.num_frames, FRAMES_IN_OVERLAY) if folder else []
        self._pictures: list[Picture] = []
        self._video = OverlayVideo(folder / "overlays" / f"{sequence.name}.mp4") if folder and video else None
        self._film = Film(folder, sequence.name, sequence.num_frames) if folder else None
        first = next(self.frames)
        self.track: Track = tracker.start(first.permute(1, 2, 0).numpy(), sequence.boxes[0])
        self.add(first, sequence.boxes[0])

    def add(self, frame: Tensor, box: np.ndarray) -> None:
        """The next frame, uint8 `(3, H, W)`, and the box found in it."""
        t = len(self.boxes)
        self.boxes.append(box)
        filmed = self._film is not None and self._film.wants(t)
        if t in self._chosen or self._video is not None or filmed:
            picture = overlay_boxes(frame, box, self.sequence.boxes[t])
            if t in self._chosen:
                self._pictures.append(picture)
            if self._video is not None:
                self._video.add(picture)
            if self._film is not None and filmed:
                self._film.add(picture)

    def abandon(self) -> None:
        """Stop decoding and leave the video as far as it is, where a run has failed."""
        self.frames.close()
        if self._video is not None:
            self._video.close()

    def close(self, folder: Path) -> Picture:
        """Finish the video, write the frames that were kept side by side and return them."""
        if self._video is not None:
            self._video.close()
        if self._film is not None:
            overlaps = box_iou(np.stack(self.boxes), self.sequence.boxes)
            self._film.close({"overlap": (range(len(self.boxes)), overlaps.tolist())})
        sheet = contact_sheet(self._pictures, columns=len(self._pictures))
        write_picture(folder / "overlays" / f"{self.sequence.name}.png", sheet)
        return sheet
