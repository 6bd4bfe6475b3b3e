"""`predict`: track a user's prompts through a video, and write the results."""

import itertools
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream, PromptedVideo
from vidcorr import signals
from vidcorr.backbones import build_encoder
from vidcorr.functional import PointProtocol, TrackingProtocol
from vidcorr.functional.device import out_of_memory_advice
from vidcorr.results.result import Network, Provenance
from vidcorr.tracking.follow import SHORT_SIDE, Follow, follow_points, follower
from vidcorr.tracking.frame_encoder import LOWER, View
from vidcorr.tracking.output_files import OUTPUTS, RECORD, Overlay, check_folder, earlier_kept, open_record
from vidcorr.tracking.plan import AnyProtocol, labels_of, nearest_prompt, plan_passes, rules_for
from vidcorr.tracking.record import SequenceRecord
from vidcorr.tracking.stopwatch import Stopwatch
from vidcorr.videos.files import write_atomically
from vidcorr.videos.folder_lock import FolderLock
from vidcorr.videos.guards import DataError
from vidcorr.videos.images import pixels
from vidcorr.videos.progress import ProgressReport
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, Prompt


class VideoPrediction(pl.Callback):
    """Track the prompts of `PromptedVideoDataModule` by the features of the module, in `predict`.

    Args:
        output_dir: see `predict_video`.
        protocol: see `predict_video`.
        changes: see `predict_video`.
        stage: stage of the encoder; None is the module's, else the encoder's default; for a box SiamFC's dilated res5
            if the encoder has it.
        stride: pixels per feature cell; None is the module's, else the encoder's default.
        short_side: see `predict_video`.
        overlay: see `predict_video`.
        exports: see `predict_video`.
        overwrite: see `predict_video`.

    Raises:
        ValueError: when it begins, if the Trainer has more than one device.
    """

    def __init__(
        self,
        output_dir: str | Path = "prediction",
        protocol: str | None = None,
        changes: dict[str, Any] | None = None,
        stage: str | None = None,
        stride: int | None = None,
        short_side: int | None = SHORT_SIDE,
        overlay: Overlay = "mp4",
        exports: list[str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.output_dir, self.stage, self.stride = Path(output_dir), stage, stride
        self.settings: dict[str, Any] = {
            "protocol": protocol,
            "changes": changes,
            "short_side": short_side,
            "overlay": overlay,
            "exports": exports or [],
            "overwrite": overwrite,
        }

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse several devices: a video is followed on a single device.

        Raises:
            ValueError: in `predict` on several devices.
        """
        if stage == "predict" and trainer.world_size > 1:
            raise ValueError(f"one video is followed on one device, not {trainer.world_size}: set --trainer.devices 1")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Follow the prompts of a batch, on the first rank."""
        if not trainer.is_global_zero or "video" not in batch:
            return
        video, network = batch["video"], Network.of(pl_module)
        metadata = {
            "model": type(pl_module).__name__,
            "checkpoint": trainer.ckpt_path,
            "spec": pl_module.hparams.get("spec"),
            "weights": network.weights,
        }
        content = predict_video(
            extractor_for(pl_module, video.prompts[0], self.stage, self.stride),
            video.frames,
            video,
            self.output_dir,
            metadata=metadata,
            **self.settings,
        )
        files = ", ".join(name for name in OUTPUTS if (self.output_dir / name).exists())
        print(network.row)
        print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {self.output_dir}: {files}")


def extractor_for(module: Any, prompt: Prompt, stage: str | None = None, stride: int | None = None) -> nn.Module:
    """Return the extractor of a module that follows a prompt.

    Args:
        module: see `build_encoder`.
        prompt: a box is followed by the dilated res5, if the encoder has it and neither the call nor the module names a
            stage or stride.
        stage: see `FeatureExtractor`.
        stride: pixels per feature cell.
    """
    encoder = build_encoder(module)
    own = getattr(module, "hparams", {})
    named = [stage, stride, own.get("stage"), own.get("stride")]
    if isinstance(prompt, BoxPrompt) and all(index is None for index in named):
        try:
            return encoder.feature_extractor("res5", dilated=True)
        except ValueError:
            pass  # no ResNet
    return encoder.feature_extractor(stage, stride)


def predict_video(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    prompt: Prompt | Iterable[Prompt],
    output_dir: str | Path,
    protocol: str | None = None,
    changes: dict[str, Any] | None = None,
    short_side: int | None = SHORT_SIDE,
    overlay: Overlay = "mp4",
    overwrite: bool = False,
    metadata: dict[str, Any] | None = None,
    exports: Sequence[str] = (),
) -> dict[str, Any]:
    """Track prompts through a video, forwards and backwards, and write the results.

    Objects are tracked from all their prompts in both directions. A frame takes an object's result from the nearest
    prompt in time, the earlier of two equally near prompts. A pixel that several objects claim goes to the object with
    the nearest prompt. If all prompts are for the first frame, a single pass over the video tracks and writes;
    otherwise all passes run before any file is written.

    Files, named after the frames of the whole video: `masks/<frame>.png`, `boxes.csv` or `points.csv`; `overlay.mp4`;
    and last `prediction.json`, with the protocol, the prompts, the seconds and the command.

    Args:
        extractor: see `build_feature_extractor`; for a box see `SiamFCTracker`.
        video: a file, a folder of frames, or a `FrameStream` of a part of a video.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)`, or several prompts of a kind, see
            `read_prompts`; or the `PromptedVideo` of the stream `video`, whose prompts are checked already.
        output_dir: folder of the files.
        protocol: name of a propagation protocol, or for points of a point protocol (`fomo`, `tapir-matching`,
            `gmrw-chained`, `fgvc`, `vidcorr`), see `follow_points`; None chooses by the extractor.
        changes: fields of the protocol to change; of `TrackingProtocol` for a box. The protocol's name then shows them.
        short_side: see `propagate_masks`.
        overlay: format of the overlay; GIF and WebP are small, and leave out frames of long videos.
        overwrite: replace an earlier prediction in the folder.
        metadata: further entries of prediction.json.
        exports: further files: "coco", `coco.json` with masks as run lengths, boxes or points as keypoints; "csv", for
            masks, `objects.csv` with boxes and areas of the objects.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if a prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol, field of the protocol, overlay or export, or a folder that holds a
            prediction.
        OSError: if the folder cannot be written, or another process writes into it.
        Stopped: if a signal asks for it, after the current frame. After a single pass the files then hold the frames so
            far, and `complete` in prediction.json is false. The same call begins again. After any other error an
            earlier prediction is back in its place.
    """
    began, watch, folder = time.perf_counter(), Stopwatch(), Path(output_dir)
    interrupted = check_folder(folder, overlay, overwrite, exports)
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    if min(stream.size) < 2:  # H.264 has even sizes
        raise DataError(f"{stream.path}: has frames of {pixels(stream.size)}; 2 × 2 px are the least")
    prompted = PromptedVideo(stream, prompt)
    rules = rules_for(extractor, prompted.prompts[0], protocol, changes)
    advice = f"{stream.path}: lower --trainer.callbacks.short_side, or {LOWER}"
    with out_of_memory_advice(advice):
        found = _follow(extractor, prompted, rules, short_side, watch)
    if interrupted:
        print(f"{folder}: holds a prediction that was interrupted; it begins again")
    with FolderLock(folder, "name another output_dir"):
        check_folder(folder, overlay, overwrite, exports)  # another run may have written it before the lock
        with earlier_kept(folder):
            content = _conditions(extractor, prompted, rules, short_side, metadata or {})
            write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
            with out_of_memory_advice(advice):
                record = open_record(folder, prompted, rules, overlay, exports)
                frames = _write(record, found, folder, stream, watch)
            seconds = time.perf_counter() - began
            content |= {
                "frames": frames,
                "complete": True,
                "seconds": round(seconds, 2),
                "seconds_per_frame": round(seconds / frames, 4),
                "seconds_of": watch.rounded(),
            }
            write_atomically(folder / RECORD, json.dumps(content, indent=2) + "\n")
    return content


def _conditions(
    extractor: nn.Module, video: PromptedVideo, rules: AnyProtocol, short_side: int | None, metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of prediction.json before the first frame: the conditions of the prediction."""
    stream, prompts = video.frames, [prompt.metadata() for prompt in video.prompts]
    content = {
        "video": str(stream.path),
        "prompt": prompts if len(prompts) > 1 else prompts[0],
        **metadata,
        "stage": getattr(extractor, "stage", None),
        "stride": getattr(extractor, "stride", None),
        "protocol": {"digest": rules.digest(), **rules.fields()},
        "size": list(stream.size),
        "frame_rate": stream.frame_rate,
        "part": {"start": stream.part.start, "end": stream.end, "every": stream.part.step},
        "complete": False,
        **Provenance.now().model_dump(mode="json"),
    }
    if not isinstance(rules, TrackingProtocol):
        content["seen_at"] = list(View.of(extractor, stream.size, rules, short_side).seen)
    return content


def _follow(
    extractor: nn.Module, video: PromptedVideo, rules: AnyProtocol, short_side: int | None, watch: Stopwatch
) -> Iterator[tuple[Tensor, Any]]:
    """Return the frames in order, with their results; faulty arguments raise before the first frame."""
    if isinstance(rules, PointProtocol):
        return follow_points(extractor, video.frames, video, rules, short_side, watch)
    follow = follower(extractor, type(video.prompts[0]), rules, video.frames.size, short_side, watch)
    if list(video.by_frame) == [0]:
        return follow(video.frames.forwards(), labels_of(video.prompts))
    return run_passes(video, follow, watch)


def _write(
    record: SequenceRecord, found: Iterator[tuple[Tensor, Any]], folder: Path, stream: FrameStream, watch: Stopwatch
) -> int:
    """Write the results, frame by frame, and return the number of frames; a signal keeps the frames so far."""
    with record, ProgressReport(stream.name, stream.num_frames, "frames") as progress:
        try:
            for frame, results in found:
                with watch("write"):
                    record.add(frame, [results])
                progress.advance()
                signals.check()
        except signals.Stopped:
            print(f"{folder}: interrupted; the same command begins again")
            if record.written and signals.requests.interrupts < 2:
                record.close()
            raise
        except ValueError as error:  # for example frames too small for the features
            if str(stream.path) in str(error):
                raise
            raise ValueError(f"{stream.path}: {error}") from error
        record.close()
    return record.written


def run_passes(video: PromptedVideo, follow: Follow, watch: Stopwatch) -> Iterator[tuple[Tensor, Any]]:
    """Follow all prompts, pass after pass, then yield the frames in order with their results.

    Args:
        video: the video with the prompts.
        follow: follows the prompts of a frame in a single direction.
        watch: counts the seconds of "write".

    Raises:
        Stopped: if a signal asks for it, after the current frame.
    """
    stream, passes = video.frames, plan_passes(video.by_object)
    of_masks = isinstance(video.prompts[0], MaskPrompt)
    results: dict[int, dict[int, Any]] = {}  # frame → prompted frame of a pass → result of the pass
    lengths = [abs((stream.num_frames - 1 if last is None else last) - start) + 1 for start, _, last in passes]
    with ProgressReport(stream.name, sum(lengths), "frames") as progress:
        for start, step, last in passes:
            read = stream.forwards(start) if step > 0 else stream.backwards(start)
            wanted = None if last is None else abs(last - start) + 1
            given = labels_of(video.by_frame[start])
            for done, (_, found) in enumerate(follow(itertools.islice(read, wanted), given)):
                if step > 0 or done:  # the prompted frame itself belongs to the pass forwards
                    with watch("write"):  # memory holds the masks of all frames: a few kilobytes each
                        kept = zlib.compress(found.numpy(), level=1) if of_masks else np.asarray(found)
                    results.setdefault(start + step * done, {})[start] = kept
                progress.advance()
    merge = merged_masks if of_masks else merged_rows
    for t, frame in enumerate(stream):
        yield frame, merge(video, t, results.pop(t))


def merged_masks(video: PromptedVideo, t: int, results: Mapping[int, bytes]) -> Tensor:
    """Return ids `(H, W)` of frame `t`, objects from their nearest prompts; a contested pixel goes to the nearest."""
    merged = np.zeros(video.frames.size, np.uint8)
    for start in sorted(results, key=lambda start: (abs(t - start), start), reverse=True):
        ids = np.frombuffer(zlib.decompress(results[start]), np.uint8).reshape(merged.shape)
        objects = [name for name, frames in video.by_object.items() if nearest_prompt(frames, t) == start]
        merged = np.where(np.isin(ids, objects), ids, merged)
    return torch.from_numpy(merged)


def merged_rows(video: PromptedVideo, t: int, results: Mapping[int, NDArray[Any]]) -> Tensor:
    """Return the boxes or points in frame `t`, from their nearest prompts, in the order of `by_object`."""
    rows: dict[tuple[int, int | str], NDArray[Any]] = {}
    for start, found in results.items():
        names = [name for prompt in video.by_frame[start] for name in prompt.objects]
        rows |= {(start, name): row for name, row in zip(names, found, strict=True)}
    return torch.from_numpy(
        np.stack([rows[nearest_prompt(frames, t), name] for name, frames in video.by_object.items()])
    )
