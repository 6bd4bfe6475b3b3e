"""`predict`: what a user points at in a video's first frame, followed to its last and written down."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from datamodules.progress import ProgressReport
from datamodules.prompted_video import FrameStream
from datamodules.reading.mask_files import read_mask
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from datamodules.reading.writing import write_whole
from lightning_modules.backbones import build_encoder
from lightning_modules.functional import PointProtocol, PropagationProtocol

from .. import signals
from ..tracking.box_protocol import TrackingProtocol
from ..tracking.record import SequenceRecord, provenance
from ..tracking.stopwatch import Stopwatch
from ..tracking.view import View
from .follow import SHORT_SIDE, propagate_masks, propagate_points, protocol_for, track_box
from .output_files import OURS, RECORD, Overlay, clear, look_for_earlier, open_record
from .point_queries import FollowedPoints, follow_points
from .unfinished import UNFINISHED, Bookmark, Unfinished, identify

Rules = TypeVar("Rules", PropagationProtocol, TrackingProtocol, PointProtocol)


def predict_video(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    prompt: Prompt,
    output_dir: str | Path,
    protocol: str | None = None,
    changes: dict[str, Any] | None = None,
    short_side: int | None = SHORT_SIDE,
    overlay: Overlay = "mp4",
    overwrite: bool = False,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Follow one prompt through a video, and write what is found.

    Files: `masks/<frame>.png`, `boxes.csv` or `points.csv`; `overlay.mp4`; and last `prediction.json`, with the
    protocol, the prompt, the time it took and the command.

    Args:
        extractor: see `build_feature_extractor`; for a box see `SiamFCTracker`.
        video: a file, or a folder of frames.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)`.
        output_dir: where the files go.
        protocol: name of a propagation protocol; None chooses by the extractor. For points also that of a point
            protocol (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`), see `follow_points`.
        changes: fields of the protocol to change; of `TrackingProtocol` for a box. The protocol's name then says so.
        short_side: see `propagate_masks`.
        overlay: how the overlay is written; GIF and WebP are small, and leave out frames of long videos.
        overwrite: replace an earlier prediction in the folder.
        about: more for prediction.json.

    Returns:
        The content of prediction.json.

    Raises:
        DataError: if the prompt does not fit the video, or a frame cannot be read.
        ValueError: if the protocol or the overlay does not exist, a field of the protocol does not, or the folder holds
            a prediction.
        OSError: if the folder cannot be written.
        Stopped: if a signal asks for it, after the frame under way: the files then hold the frames so far, and
            `complete` in prediction.json is false. The same call goes on from there; so it does after a kill, from
            the last save, one a minute.
    """
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    watch, folder, began = Stopwatch(), Path(output_dir), time.perf_counter()
    if isinstance(prompt, PointPrompt):
        prompt = prompt.placed(stream.size)
    prompt.check(stream.size)
    rules = _protocol(extractor, prompt, protocol, changes)
    unfinished = Unfinished(folder / UNFINISHED, identify(extractor, stream, prompt, rules, short_side))
    goes_on = look_for_earlier(folder, overlay, overwrite) and unfinished.read(overwrite)
    began -= unfinished.seconds
    watch.seconds.update(unfinished.seconds_of)
    found = _follow(extractor, stream, prompt, rules, short_side, watch, unfinished.bookmark)
    clear(folder, keep=("masks", UNFINISHED) if goes_on else ())
    followed = isinstance(rules, PointProtocol)
    stems = map(stream.stem, itertools.count())
    with open_record(folder, prompt, stems, overlay, stream.frame_rate, followed) as record:
        if unfinished.bookmark.start is not None:
            print(f"{folder}: going on at frame {unfinished.bookmark.frame}")
        elif not goes_on:
            unfinished.save(0, 0.0, {})
        found = itertools.chain(_written(folder, stream, prompt, unfinished), found)
        stopped = _write(record, found, stream, unfinished, began, watch, followed)
    seconds = time.perf_counter() - began
    content = {
        "video": str(stream.path),
        "prompt": prompt.about(),
        **(about or {}),
        "stage": getattr(extractor, "stage", None),
        "stride": getattr(extractor, "stride", None),
        "protocol": {"digest": rules.digest(), **rules.fields()},
        "frames": record.written,
        "complete": not stopped,
        "size": list(stream.size),
        "frame_rate": stream.frame_rate,
        "seconds": round(seconds, 2),
        "seconds_per_frame": round(seconds / record.written, 4),
        "seconds_of": watch.rounded(),
        **provenance(),
    }
    if not isinstance(rules, TrackingProtocol):
        content["seen_at"] = list(View.of(extractor, stream.size, rules, short_side).seen)
    write_whole(folder / RECORD, json.dumps(content, indent=2) + "\n")
    signals.check()
    unfinished.path.unlink()
    return content


def _written(folder: Path, stream: FrameStream, prompt: Prompt, unfinished: Unfinished) -> Iterator[tuple[Tensor, Any]]:
    """Yield the frames that are written already, and what was found in each: masks from their files."""
    for t, frame in enumerate(itertools.islice(stream, unfinished.bookmark.frame)):
        if isinstance(prompt, MaskPrompt):
            yield frame, torch.from_numpy(read_mask(folder / "masks" / f"{stream.stem(t)}.png"))
        else:
            found = unfinished.found[t]
            yield frame, found.numpy() if isinstance(prompt, BoxPrompt) else found


def _write(
    record: SequenceRecord,
    found: Iterator[tuple[Tensor, Any]],
    stream: FrameStream,
    unfinished: Unfinished,
    began: float,
    watch: Stopwatch,
    followed: bool,
) -> bool:
    """Write frame by frame, save now and then what it takes to go on, and return whether a signal ended it.

    Raises:
        Stopped: before the first frame is written.
    """
    before = unfinished.bookmark.frame
    stopped = False

    def save() -> None:
        if record.written > before:  # else the file holds all there is
            unfinished.save(0 if followed else record.written, time.perf_counter() - began, watch.seconds)

    with ProgressReport(stream.name, stream.num_frames, "frames") as progress:
        try:
            for frame, what in found:
                with watch("write"):
                    record.add(frame, [what])
                if record.written > before and (numbers := _numbers(what)) is not None:
                    unfinished.found.append(numbers)
                progress.advance()
                if stopped := signals.requested():
                    break
                if unfinished.is_due():
                    save()
        except signals.Stopped:
            if signals.at_once() or not record.written:
                raise
            stopped = True
    record.close()
    if stopped:
        save()
    return stopped


class VideoPrediction(pl.Callback):
    """Follows what `PromptedVideoDataModule` is pointed at, by the features of the module, in `predict`.

    Args:
        output_dir: see `predict_video`.
        protocol: see `predict_video`.
        changes: see `predict_video`.
        stage: of the encoder; None is the module's, else the encoder's own choice, and SiamFC's dilated res5 for a box
            where there is one.
        stride: pixels per feature cell; None is the module's, else the encoder's own choice.
        short_side: see `predict_video`.
        overlay: see `predict_video`.
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
        overwrite: bool = False,
    ) -> None:
        self.output_dir, self.stage, self.stride = Path(output_dir), stage, stride
        self.settings: dict[str, Any] = {
            "protocol": protocol,
            "changes": changes,
            "short_side": short_side,
            "overlay": overlay,
            "overwrite": overwrite,
        }

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse several devices: one video is followed on one.

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
        """Follow the prompt of a batch, on the first rank."""
        if not trainer.is_global_zero or "video" not in batch:
            return
        stream, prompt = batch["video"].frames, batch["video"].prompt
        about = {
            "model": type(pl_module).__name__,
            "checkpoint": trainer.ckpt_path,
            "spec": pl_module.hparams.get("spec"),
        }
        content = predict_video(
            extractor_for(pl_module, prompt, self.stage, self.stride),
            stream,
            prompt,
            self.output_dir,
            about=about,
            **self.settings,
        )
        files = ", ".join(name for name in OURS if (self.output_dir / name).exists())
        print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {self.output_dir}: {files}")


def extractor_for(module: Any, prompt: Prompt, stage: str | None = None, stride: int | None = None) -> nn.Module:
    """Return the extractor of a module that follows a prompt.

    Args:
        module: see `build_encoder`.
        prompt: a box is followed by the dilated res5 where neither the call nor the module names a stage
            or stride and the encoder has it.
        stage: see `FeatureExtractor`.
        stride: pixels per feature cell.
    """
    encoder = build_encoder(module)
    own = getattr(module, "hparams", {})
    named = [stage, stride, own.get("stage"), own.get("stride")]
    if isinstance(prompt, BoxPrompt) and all(place is None for place in named):
        try:
            return encoder.feature_extractor("res5", dilated=True)
        except ValueError:
            pass  # no ResNet
    return encoder.feature_extractor(stage, stride)


def _protocol(
    extractor: nn.Module, prompt: Prompt, name: str | None, changes: dict[str, Any] | None
) -> PropagationProtocol | TrackingProtocol | PointProtocol:
    """Return the protocol of a run, at the extractor's stride."""
    if isinstance(prompt, BoxPrompt):
        if name is not None:
            raise ValueError(f"protocol {name!r} is for masks and points; a box is tracked by SiamFC, see changes")
        return _changed(TrackingProtocol, changes).at_features(
            extractor.stride,  # type: ignore[arg-type]
            getattr(extractor, "dilated", False),
        )
    if isinstance(prompt, PointPrompt) and name is not None and name in PointProtocol.sources():
        points = PointProtocol.named(name, "tap_vid").with_changes(feature_stride=extractor.stride)
        return _changed(points.with_changes, changes)
    protocol = protocol_for(extractor, "davis" if isinstance(prompt, MaskPrompt) else "jhmdb", name)
    return _changed(protocol.with_changes, changes) if changes else protocol


def _changed(make: Callable[..., Rules], changes: dict[str, Any] | None) -> Rules:
    """Return what is made with the changes; raise ValueError for a field or a type that does not fit."""
    try:
        return make(**(changes or {}))
    except TypeError as error:
        raise ValueError(f"changes: {error}") from error


def _follow(
    extractor: nn.Module,
    stream: FrameStream,
    prompt: Prompt,
    protocol: PropagationProtocol | TrackingProtocol | PointProtocol,
    short_side: int | None,
    watch: Stopwatch,
    bookmark: Bookmark,
) -> Any:
    if isinstance(protocol, TrackingProtocol):
        return track_box(extractor, stream, prompt, protocol, watch, bookmark)
    if isinstance(protocol, PointProtocol):
        return follow_points(extractor, stream, prompt, protocol, short_side, watch, bookmark)
    follow = propagate_masks if isinstance(prompt, MaskPrompt) else propagate_points
    return follow(extractor, stream, prompt, protocol, short_side, watch, bookmark)


def _numbers(what: Any) -> Tensor | None:
    """Return a frame's box or points; None for what is kept elsewhere: masks in their files, tracks in the state."""
    if isinstance(what, FollowedPoints) or (isinstance(what, Tensor) and what.dtype == torch.uint8):
        return None
    return torch.as_tensor(what)
