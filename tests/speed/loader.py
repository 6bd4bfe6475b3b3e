"""Clips per second of the training loader, and the time that a GPU of a given speed would wait.

    OMP_NUM_THREADS=1 python tests/speed/loader.py [source ...] [--frames 8] [--size 224] [--seconds 10] [--gpu 100 400]

A source is what `VideoDataModule` takes; by default the clips of ../shared/data. One line per source and number of
workers: clips/s, clips per processor second of the processes that decode, and for each rate of a GPU (clips/s that it
could train on) the share of its time that it waits.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules import VideoDataModule
from datamodules.reading.source import list_videos

SHARED = Path(__file__).parents[3] / "shared/data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each line")
    parser.add_argument("--gpu", type=float, nargs="*", default=[50, 100, 400], help="clips/s that a GPU takes")
    flags = parser.parse_args()
    waits = "".join(f"{f'{rate:g}/s':>9}" for rate in flags.gpu)
    print(f"{flags.frames} distant frames, crop to {flags.size}; a GPU that takes this many clips waits for{waits}")
    with tempfile.TemporaryDirectory() as folder:
        for source in flags.sources or [SHARED / "jhmdb_clips", _list(Path(folder), "mmaction2_*")]:
            for workers in flags.workers:
                wall, processor, clips = _measure(source, workers, flags)
                rate = clips / wall
                line = f"{source.stem:16} {workers} workers {rate:7.1f} clips/s {clips / processor:7.1f} per core"
                print(f"{line:>73}" + "".join(f"{max(0.0, 1 - rate / gpu):9.0%}" for gpu in flags.gpu))


def _measure(source: Path, workers: int, flags: argparse.Namespace) -> tuple[float, float, int]:
    """Seconds, processor seconds of this process and its workers, clips; the first batches are not counted."""
    warnings.filterwarnings("ignore", message="replaced by another video")
    repeat = -(-2 * flags.batch_size * max(workers, 1) * 4 // len(list_videos(source)))
    arguments: dict[str, Any] = {"frames": flags.frames, "size": flags.size, "batch_size": flags.batch_size}
    data = VideoDataModule(source, **arguments, num_workers=workers, holdout=0.0, repeat=max(repeat, 1))
    data.setup("fit")
    batches = _endless(data)
    for _ in range(2 * max(workers, 1) + 1):
        next(batches)
    wall, processor, clips = time.perf_counter(), _processor_seconds(), 0
    while time.perf_counter() - wall < flags.seconds:
        clips += len(next(batches)["clip"])
    return time.perf_counter() - wall, _processor_seconds() - processor, clips


def _endless(data: VideoDataModule) -> Iterator[dict[str, Any]]:
    loader, epoch = data.train_dataloader(), 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def _processor_seconds() -> float:
    """Of this process and of its living children."""
    total = 0.0
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    for pid in ["self", *children]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _list(folder: Path, pattern: str) -> Path:
    """A list file of the clips of ../shared/data by name."""
    file = folder / "mmaction2.txt"
    file.write_text("".join(f"{path}\n" for path in sorted((SHARED / "clips").glob(pattern))))
    return file


if __name__ == "__main__":
    main()
