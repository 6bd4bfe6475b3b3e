"""Speed of reading clips of distant frames from a 640 x 480 video as it is, transcoded by `vidcorr`, and as JPEGs.

    OMP_NUM_THREADS=1 python tests/speed/storage.py [video]

By default the 640 x 480 clip of ../shared/data, encoded anew with one key frame in 250, looped to 10 s. All three are
read by our own `open_video`, and the original is what the table calls plain.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from datamodules.loading.sampling import distant_indices, seeded_generator
from datamodules.reading.source import open_video, stamp
from datamodules.tools.transcode import OutputFormat, transcode
from tests.speed.decoding import encode
from tests.speed.timing import DATA, compare, flags

FRAMES = 300


def main() -> None:
    parser = flags(__doc__, 7)
    parser.add_argument("video", nargs="?", default=DATA / "clips" / "cutie_example.mp4")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = folder / "original/v.mp4"
        encode(given.video, original, 250, (640, 480), FRAMES)
        transcode(original.parent, folder / "transcoded", workers=1)
        transcode(original.parent, folder / "jpeg", OutputFormat(frames=True), workers=1)
        paths = {"original": original, "transcoded": folder / "transcoded/v.mp4", "JPEG folder": folder / "jpeg/v"}
        for kind, path in paths.items():
            print(f"{kind:12} {stamp(path)[0] / 1e6:7.2f} MB  {stamp(path)[0] / stamp(original)[0]:5.2f}x")
        for n in (2, 4, 8):
            clips = [distant_indices(FRAMES, n, seeded_generator(n, i)).tolist() for i in range(4)]

            def read(path: Path, clips: list[list[int]] = clips) -> None:
                for clip in clips:
                    with open_video(path) as video:
                        video.read(clip)

            ways = {kind: lambda path=path, read=read: read(path) for kind, path in paths.items()}
            plain = {"original": ways.pop("original")}
            compare(f"{n} distant frames", plain, ways, given.repeats, unit=len(clips))


if __name__ == "__main__":
    main()
