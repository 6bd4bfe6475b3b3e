"""Small generated data for every config of a benchmark."""

import importlib
import json
import pkgutil
import shutil
from collections.abc import Callable
from inspect import isabstract
from pathlib import Path
from typing import Any

import vidcorr.benchmarks
from vidcorr.benchmarks.base import Benchmark
from vidcorr.datasets import generated
from vidcorr.datasets.otb_files import TB100

SMALL = (64, 64)


def benchmark_classes(kind: type[Benchmark] = Benchmark) -> list[type[Benchmark]]:
    """Return all benchmark classes of vidcorr, taken from its code."""
    for module in pkgutil.iter_modules(vidcorr.benchmarks.__path__):
        importlib.import_module(f"vidcorr.benchmarks.{module.name}")
    found = [kind] if kind.__module__.startswith("vidcorr.") and not isabstract(kind) else []
    for below in kind.__subclasses__():
        found += benchmark_classes(below)
    return list(dict.fromkeys(found))


def data_for(config: str, folder: Path) -> Path:
    """Write data that a config of `configs/benchmarks` reads, and return their folder for `--on`.

    Args:
        config: name of the config, such as `davis_liir`.
        folder: folder that holds the data of all configs; data that exist are kept.

    Raises:
        StopIteration: for a config without data.
    """
    kind = config if config in WRITERS else next(kind for kind in WRITERS if config.startswith(kind))
    root = folder / kind
    if not root.is_dir():
        WRITERS[kind](root)
    return root


def arguments_of(kind: type[Benchmark], folder: Path) -> dict[str, Any]:
    """Write small data for a benchmark of `benchmark_classes`, or below one, and return its arguments."""
    return {"root": data_for("otb_all" if kind.name == "otb" else kind.name, folder)} | OPTIONS.get(kind.name, {})


def _davis(root: Path) -> Path:
    """Write DAVIS with the lists of 2017 as those of 2016 too."""
    generated.write_davis(root, 2, frames=4, size=SMALL)
    shutil.copytree(root / "ImageSets/2017", root / "ImageSets/2016")
    return root


def _otb(root: Path) -> None:
    """Write a single sequence under the names of OTB-100."""
    made = generated.write_otb(root.with_name("otb_generated"), 1, frames=3, size=SMALL)
    (source,) = (path for path in made.iterdir() if path.is_dir())
    for target in TB100:
        name, _, number = target.partition("-")
        (root / name).mkdir(parents=True, exist_ok=True)
        if not (root / name / "img").exists():
            (root / name / "img").symlink_to(source / "img")
        boxes = f"groundtruth_rect.{number}.txt" if number else "groundtruth_rect.txt"
        shutil.copy(source / "groundtruth_rect.txt", root / name / boxes)


def _videos(root: Path) -> None:
    """Write frames and masks in the layout of `Vos`, with a list in ImageSets."""
    made = _davis(root.with_name(f"{root.name}_davis"))
    shutil.copytree(made / "ImageSets/2017", root / "ImageSets")
    for kind in ("JPEGImages", "Annotations"):
        (root / kind).symlink_to(made / kind / "480p")


WRITERS: dict[str, Callable[[Path], object]] = {
    "davis": _davis,
    "jhmdb": lambda root: generated.write_jhmdb(root, 2, frames=3, size=(120, 160)),
    "mose": _videos,
    "otb": _otb,
    "otb_all": lambda root: generated.write_otb(root, 2, frames=3, size=SMALL),
    "tap_vid": lambda root: generated.write_tap_vid(root, 2, frames=4, tracks=4, size=SMALL),
    "vip": lambda root: generated.write_vip(root, 2, frames=3, size=SMALL),
    "vos": _videos,
    "youtube_vos": lambda root: generated.write_youtube_vos(root, 6, frames=11, size=SMALL),
    "youtube_vos_val": lambda root: generated.write_youtube_vos(root, 1, frames=11, size=SMALL),
}
"""Beginning of a config's name → writer of its data, in a folder."""

SIZES = json.loads(Path(__file__).with_name("small_benchmarks.json").read_text())
OPTIONS: dict[str, dict[str, Any]] = SIZES["small"]
"""Name of a benchmark → its arguments but `root`, where they are not the defaults."""
