"""Files against the plain ways: decoding of distant frames, crops and colours of clips, scores of masks on disk."""

import shutil
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torchvision.transforms import v2

from datamodules.loading.colour import ColourAugmentation
from datamodules.loading.sampling import RandomCrops, distant_indices, seeded_generator
from tests.helpers.plain_masks import plain_score
from tests.helpers.references import real_data
from tests.speed.timing import DEVICE, compare
from vidcorr.scoring.masks import score
from vidcorr.videos.decoding import VideoFile

Frames = list[np.ndarray]


def ours(path: str, indices: list[int]) -> Frames:
    with VideoFile(path) as video:
        return video.read(indices)


def seek_each(path: str, indices: list[int]) -> Frames:
    """A seek for every frame, then decoding up to it; relies on a constant frame rate."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        ticks = 1 / (stream.average_rate * stream.time_base)
        for index in indices:
            time_stamp = round(index * ticks) + (stream.start_time or 0)
            container.seek(time_stamp, stream=stream)
            frames.append(next(f for f in container.decode(stream) if f.pts >= time_stamp).to_ndarray(format="rgb24"))
    return frames


def encode(source: Path, destination: str, interval: int) -> None:
    """Encode a video anew with 340 × 256 px and a key frame in `interval`."""
    with av.open(str(source)) as old, av.open(destination, "w") as new:
        options = {"g": str(interval), "crf": "23", "sc_threshold": "0"}
        stream = new.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for number, frame in enumerate(old.decode(video=0)):
            small = frame.reformat(340, 256, "yuv420p")
            small.pts, small.time_base, small.pict_type = number, Fraction(1, 30), 0
            new.mux(stream.encode(small))
        new.mux(stream.encode(None))


def decoding(rounds: int) -> Iterator[str]:
    """Compare clips of two frames of a real video, with a key frame in 12, 30 and 250."""
    with tempfile.TemporaryDirectory() as folder:
        for interval in (12, 30, 250):
            path = f"{folder}/key{interval}.mp4"
            encode(real_data("clips/mmaction2_demo.mp4"), path, interval)
            with VideoFile(path) as video:
                clips = [distant_indices(video.num_frames, 2, seeded_generator(2, i)).tolist() for i in range(4)]
            yield from compare(
                f"2 distant frames, key{interval}",
                {"seek for each": lambda: [seek_each(path, clip) for clip in clips]},  # noqa: B023
                lambda: [ours(path, clip) for clip in clips],  # noqa: B023
                rounds,
                unit=len(clips),
            )


def crops(rounds: int) -> Iterator[str]:
    """Compare crop and flip of the 8 frames of a clip with torchvision, frame by frame."""
    generator, draws = np.random.default_rng(0), seeded_generator(0)
    cv2.setNumThreads(1)
    for height, width in ((256, 340), (720, 1280)):
        size = (width, height)
        frames = [cv2.resize(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8), size) for _ in range(8)]
        tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
        by_torchvision = v2.Compose([v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()])
        yield from compare(
            f"crop and flip, 8 frames of {width} x {height} to 224 x 224",
            {"torchvision": lambda: [by_torchvision(frame) for frame in tensor]},  # noqa: B023
            lambda: RandomCrops()(frames, draws, size=224),  # noqa: B023
            10 * rounds,
        )


def colours(rounds: int) -> list[str]:
    """Compare colour augmentation of a batch with torchvision, frame by frame."""
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
    blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5)
    by_torchvision = v2.Compose([jitter, v2.RandomGrayscale(0.2), blur])
    batch, augment = torch.rand(64, 3, 224, 224, device=DEVICE), ColourAugmentation()
    return compare(
        f"colour augmentation, 64 frames of 224 x 224 on {DEVICE}",
        {"torchvision": lambda: [by_torchvision(frame) for frame in batch]},
        lambda: augment(batch, seeded_generator(0)),
        rounds,
    )


def scores(rounds: int) -> list[str]:
    """Compare `vidcorr score` with a plain scorer of whole images, on DAVIS's annotations, predicted one frame late."""
    with tempfile.TemporaryDirectory() as name:
        truth, mine = Path(name, "truth"), Path(name, "mine")
        shutil.copytree(real_data("davis/Annotations/480p"), truth)
        masks = sorted(truth.rglob("*.png"))
        for before, mask in zip([masks[0], *masks], masks, strict=False):
            late = mine / mask.relative_to(truth)
            late.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(before if before.parent == mask.parent else mask, late)
        return compare(
            f"score by youtube-vos, {len(masks)} masks",
            {"plain": lambda: plain_score(truth, mine)},
            lambda: score(truth, mine, "youtube-vos"),
            rounds,
        )
