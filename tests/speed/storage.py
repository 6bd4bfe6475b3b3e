"""Speed of reading clips of distant frames from a 640 x 480 video as it is, and transcoded by `vidcorr`.

    OMP_NUM_THREADS=1 python -m tests.speed.storage

The 640 x 480 clip of VIDCORR_DATA, encoded anew with one key frame in 250, looped to 10 s. Both are
read by our own `open_video`, and the original is what the table calls plain.
"""

import tempfile
from functools import partial
from pathlib import Path

from datamodules.loading.sampling import distant_indices, seeded_generator
from datamodules.reading.source import open_video
from datamodules.tools.transcode import transcode
from tests.speed.decoding import encode
from tests.speed.timing import DATA, compare, flags

FRAMES = 300


def main() -> None:
    repeats = flags(__doc__, 7).parse_args().repeats
    clips = [distant_indices(FRAMES, 2, seeded_generator(2, i)).tolist() for i in range(4)]

    def read(path: Path) -> None:
        for clip in clips:
            with open_video(path) as video:
                video.read(clip)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = folder / "original/v.mp4"
        encode(DATA / "clips" / "cutie_example.mp4", original, 250, (640, 480), FRAMES)
        transcode(original.parent, folder / "transcoded", workers=1)
        transcoded = folder / "transcoded/v.mp4"
        print(f"original {original.stat().st_size / 1e6:.2f} MB, transcoded {transcoded.stat().st_size / 1e6:.2f} MB")
        plain = {"original": partial(read, original)}
        compare("2 distant frames", plain, partial(read, transcoded), repeats, unit=len(clips))


if __name__ == "__main__":
    main()
