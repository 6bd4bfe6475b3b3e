"""Speed of reading clips of distant frames from a 640 x 480 video as it is, transcoded by `vidcorr`, and as JPEGs.

    OMP_NUM_THREADS=1 python tests/speed/storage.py [video]

By default the 640 x 480 clip of ../shared/data, encoded anew with one key frame in 250, looped to 10 s. One thread, one
process, interleaved; CPU seconds, so that other work on the machine counts little. All three are read by our own
`open_video`; the last column is the gain over the original.
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

import av

from datamodules.loading.sampling import distant_indices, seeded_generator
from datamodules.reading.source import open_video, stamp
from datamodules.tools.transcode import OutputFormat, transcode

DEFAULT = Path(__file__).parents[3] / "shared/data/clips/cutie_example.mp4"
FRAMES = 300
KINDS = ("original", "transcoded", "JPEG folder")


def encode(source: Path, destination: Path) -> None:
    """Encodes a video anew, forwards and backwards until it has 300 frames, with one key frame in 250."""
    with av.open(str(source)) as old:
        frames = [frame.reformat(width=640, height=480, format="yuv420p") for frame in old.decode(video=0)]
    destination.parent.mkdir()
    with av.open(str(destination), "w") as new:
        stream = new.add_stream("libx264", rate=30, options={"g": "250", "crf": "23", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(FRAMES):
            turn, place = divmod(number, len(frames))
            frame = frames[-1 - place if turn % 2 else place]
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
            new.mux(stream.encode(frame))
        new.mux(stream.encode(None))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = folder / "original/v.mp4"
        encode(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT, original)
        start = time.process_time(), time.perf_counter()
        transcode(original.parent, folder / "transcoded", workers=1)
        seconds = time.perf_counter() - start[1]
        transcode(original.parent, folder / "jpeg", OutputFormat(frames=True), workers=1)
        paths = dict(zip(KINDS, (original, folder / "transcoded/v.mp4", folder / "jpeg/v"), strict=True))
        size = stamp(original)[0]
        print(f"transcoded in {seconds:.1f} s: {FRAMES / seconds:.0f} frames/s by the clock")
        for kind, path in paths.items():
            print(f"{kind:12} {stamp(path)[0] / 1e6:7.2f} MB  {stamp(path)[0] / size:5.2f}x")
        compare(paths)


def compare(paths: dict[str, Path], rounds: int = 7) -> None:
    for n in (2, 4, 8):
        clips = [distant_indices(FRAMES, n, seeded_generator(n, i)).tolist() for i in range(4)]
        seconds: dict[str, list[float]] = {kind: [] for kind in paths}
        for turn in range(rounds):
            for kind in [*KINDS[turn % 3 :], *KINDS[: turn % 3]]:
                start = time.process_time()
                for clip in clips:
                    with open_video(paths[kind]) as video:
                        video.read(clip)
                seconds[kind].append((time.process_time() - start) / len(clips))
        slow = min(seconds["original"])
        for kind, values in seconds.items():
            rates = f"best {1 / min(values):7.1f}  median {1 / median(values):7.1f} clips/s"
            print(f"n={n} {kind:12} {rates}  {slow / min(values):5.1f}x")


if __name__ == "__main__":
    main()
