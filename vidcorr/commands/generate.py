"""Generate small videos with exact ground truth in the layouts of the benchmarks: no download is needed."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..datasets import generated
from ..videos.guards import require_one_of

SMALL = (64, 64)
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "badja": partial(generated.write_badja, count=2, frames=6, size=SMALL),
    "davis": partial(generated.write_davis, count=2, frames=6, size=SMALL),
    "got10k": partial(generated.write_got10k, count=2, frames=8),
    "jhmdb": partial(generated.write_jhmdb, count=2, frames=6),
    "otb": partial(generated.write_otb, count=2, frames=8),
    "tap_vid": partial(generated.write_tap_vid, count=2, frames=8, size=SMALL),
    "videos": partial(generated.write_videos, count=6, frames=8, size=SMALL),
    "vip": partial(generated.write_vip, count=2, frames=4),
    "youtube_vos": partial(generated.write_youtube_vos, count=8, frames=11, size=SMALL),
}
"""Name of a layout, and of its folder → its writer; `videos` are mp4 files for training."""


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
    made = [LAYOUTS[name](flags.folder / name) for name in flags.layouts or LAYOUTS]
    sets = " ".join(f"{path.name}={path}" for path in made if path.name not in ("got10k", "videos"))
    print(f"{len(made)} data sets in {flags.folder}" + (f"; vidcorr evaluate raw_colour --on {sets}" if sets else ""))
