"""Small generated data sets in the layouts of the benchmarks. Their names need no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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


def generate(folder: Path, names: Sequence[str] = tuple(LAYOUTS)) -> list[str]:
    """Generate small data sets.

    Args:
        folder: folder of the data sets, which get a folder each.
        names: names of layouts.

    Returns:
        `NAME=FOLDER` of each data set with a benchmark, as `--on` takes it.

    Raises:
        ValueError: for an unknown layout.
        DataError: if a folder holds other files.
        OSError: if a folder cannot be written.
    """
    for name in names:
        require_one_of(LAYOUTS, layout=name)
    from . import generated  # imports torch

    on: list[str] = []
    for name in names:
        layout = LAYOUTS[name]
        write = getattr(generated, f"write_{name}")
        size = {"size": SIZE} if layout.is_small else {}
        place = write(folder / name, layout.videos, frames=layout.frames, **size)
        config = name if layout.config is None else layout.config
        if config:
            on.append(f"{config}={place}")
    return on
