"""Generate small videos with exact ground truth in the layouts of the benchmarks: no download is needed."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..videos.files import require_one_of

SMALL = {"size": (64, 64)}
"""Height and width of frames, for writers whose own are larger."""


class Layout(NamedTuple):
    """A small data set.

    Attributes:
        config: name of its benchmark for --on; empty without a benchmark.
        videos: number of videos.
        frames: frames per video.
        more: further arguments of its writer: the `size` of frames, height and width in pixels.
    """

    config: str
    videos: int
    frames: int
    more: Mapping[str, tuple[int, int]] = {}


LAYOUTS = {
    "badja": Layout("badja", 2, 6, SMALL),
    "davis": Layout("davis", 2, 6, SMALL),
    "got10k": Layout("", 2, 8),
    "jhmdb": Layout("jhmdb", 2, 6),
    "navi": Layout("navi", 2, 8),
    "otb": Layout("otb_all", 2, 8),
    "scannet": Layout("scannet", 2, 3),
    "soco": Layout("soco", 2, 8, SMALL),
    "spair": Layout("spair", 2, 8, SMALL),
    "tap_vid": Layout("tap_vid", 2, 8, SMALL),
    "videos": Layout("", 6, 8, SMALL),
    "vip": Layout("vip", 2, 4),
    "youtube_vos": Layout("youtube_vos", 8, 11, SMALL),
}
"""Name of a layout, and of its folder → its data set; `videos` are mp4 files for training."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr generate` with its arguments.

    Raises:
        ValueError: for an unknown layout.
        DataError: if a folder holds other files; one line.
        OSError: if a folder cannot be written.
    """
    parser = argparse.ArgumentParser(prog="vidcorr generate", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the data sets, a folder for each")
    parser.add_argument("layouts", nargs="*", metavar="LAYOUT", help=f"{', '.join(LAYOUTS)} (default: all)")
    flags = parser.parse_args(list(args))
    for name in flags.layouts:
        require_one_of(LAYOUTS, layout=name)
    from ..datasets import generated  # imports torch, which the help need not wait for

    names = dict.fromkeys(flags.layouts or LAYOUTS)
    on: list[str] = []
    for name in names:
        layout = LAYOUTS[name]
        write = getattr(generated, f"write_{name}")
        folder = write(flags.folder / name, layout.videos, frames=layout.frames, **layout.more)
        if layout.config:
            on.append(f"{layout.config}={folder}")
    print(f"{len(names)} data sets in {flags.folder}", end="")
    print(f"; vidcorr evaluate raw_colour --on {' '.join(on)}" if on else "")
