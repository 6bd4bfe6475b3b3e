"""Generate small videos with exact ground truth in the layouts of the benchmarks: no download is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..near_names import CommandParser
from ..videos.files import require_one_of

SIZE = (64, 64)
"""Height and width of frames in pixels, for writers whose own are larger."""


class Layout(NamedTuple):
    """A small data set.

    Attributes:
        videos: number of videos.
        frames: frames per video.
        is_small: give its writer SIZE.
        config: name of its benchmark for --on, if it is not that of the layout; empty without a benchmark.
    """

    videos: int
    frames: int
    is_small: bool = True
    config: str | None = None


LAYOUTS = {
    "davis": Layout(2, 6),
    "jhmdb": Layout(2, 6, is_small=False),
    "otb": Layout(2, 8, is_small=False, config="otb_all"),
    "spair": Layout(2, 8),
    "tap_vid": Layout(2, 8),
    "videos": Layout(6, 8, config=""),
    "vip": Layout(2, 4, is_small=False),
    "youtube_vos": Layout(8, 11),
}
"""Name of a layout, and of its folder → its data set; `videos` are mp4 files for training."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr generate` with its arguments.

    Raises:
        ValueError: for an unknown layout.
        DataError: if a folder holds other files; one line.
        OSError: if a folder cannot be written.
    """
    parser = CommandParser(prog="vidcorr generate", description=__doc__)
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
        size = {"size": SIZE} if layout.is_small else {}
        folder = write(flags.folder / name, layout.videos, frames=layout.frames, **size)
        config = name if layout.config is None else layout.config
        if config:
            on.append(f"{config}={folder}")
    print(f"{len(names)} data sets in {flags.folder}", end="")
    print(f"; vidcorr evaluate raw_colour --on {' '.join(on)}" if on else "")
