"""Small generated data sets in the layouts of the benchmarks. Their names need no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..videos.files import require_one_of

SIZE = (64, 64)
"""Height and width of the frames in pixels, if `SmallSet.is_small`; other writers keep their default."""


class SmallSet(NamedTuple):
    """A small data set.

    Attributes:
        videos: number of videos.
        frames: frames per video.
        benchmark: name of its benchmark for --on; None without one.
        is_small: its frames have `SIZE`; False: the writer's default size.
    """

    videos: int
    frames: int
    benchmark: str | None
    is_small: bool = True


LAYOUTS = {
    "davis": SmallSet(2, 6, "davis"),
    "jhmdb": SmallSet(2, 6, "jhmdb", is_small=False),
    "otb": SmallSet(2, 8, "otb_all", is_small=False),
    "tap_vid": SmallSet(2, 8, "tap_vid"),
    "videos": SmallSet(6, 8, None),
    "vip": SmallSet(2, 4, "vip", is_small=False),
    "youtube_vos": SmallSet(8, 11, "youtube_vos"),
}
"""Name of a layout, also of its writer and its folder → its data set; `videos` are mp4 files for training."""


def generate(folder: Path, names: Sequence[str] = tuple(LAYOUTS)) -> list[str]:
    """Generate small data sets, each in a folder of its name; return `NAME=FOLDER` of each for `--on`."""
    for name in names:
        require_one_of(LAYOUTS, layout=name)
    from . import generated

    on: list[str] = []
    for name in names:
        small_set = LAYOUTS[name]
        write = getattr(generated, f"write_{name}")
        # {}: the writer's default size
        size = {"size": SIZE} if small_set.is_small else {}
        # benchmarks have other scenes than the training
        first = 0 if small_set.benchmark is None else generated.FIRST_BENCHMARK_VIDEO
        place = write(folder / name, small_set.videos, frames=small_set.frames, first=first, **size)
        if small_set.benchmark is not None:
            on.append(f"{small_set.benchmark}={place}")
    return on
