"""Generate small videos with exact ground truth in the layouts of the benchmarks: no download is needed."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..videos.files import require_one_of

SMALL = (64, 64)
LAYOUTS: dict[str, dict[str, Any]] = {
    "badja": {"count": 2, "frames": 6, "size": SMALL},
    "davis": {"count": 2, "frames": 6, "size": SMALL},
    "got10k": {"count": 2, "frames": 8},
    "jhmdb": {"count": 2, "frames": 6},
    "otb": {"count": 2, "frames": 8},
    "tap_vid": {"count": 2, "frames": 8, "size": SMALL},
    "videos": {"count": 6, "frames": 8, "size": SMALL},
    "vip": {"count": 2, "frames": 4},
    "youtube_vos": {"count": 8, "frames": 11, "size": SMALL},
}
"""Name of a layout, and of its folder → arguments of its writer; `videos` are mp4 files for training."""
CONFIGS_OF = {"got10k": None, "videos": None, "otb": "otb_all"}
"""Layout → config of the benchmark, where the names differ; None without a benchmark."""


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

    names = flags.layouts or LAYOUTS
    made = [getattr(generated, f"write_{name}")(flags.folder / name, **LAYOUTS[name]) for name in names]
    configs = {path: CONFIGS_OF.get(path.name, path.name) for path in made}
    sets = " ".join(f"{config}={path}" for path, config in configs.items() if config)
    print(f"{len(made)} data sets in {flags.folder}" + (f"; vidcorr evaluate raw_colour --on {sets}" if sets else ""))
