"""Check folders of frames and masks before a benchmark has to: missing masks, sizes, ids, palettes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..datasets.layout_files import require_folder
from ..datasets.vos import first_appearances, labelled_names
from ..reading.errors import DataError
from ..reading.files import usable_cores, write_atomically
from ..reading.images import image_header, opened_image, pixels, read_image
from ..reading.mask_files import VOID, check_mask_mode, object_ids
from ..reading.source import list_images


@dataclass(frozen=True)
class LabelReport:
    """Findings on one labelled video.

    Attributes:
        name: name of the video.
        frames: number of frames.
        masks: number of masks.
        objects: ids, ascending.
        starts: object id → stem of the first frame whose mask holds it.
        problems: what a reader refuses, or would score wrongly; one line each.
        remarks: what is odd and may be right; one line each.
    """

    name: str
    frames: int
    masks: int
    objects: tuple[int, ...]
    starts: Mapping[int, str]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def check_labels(
    root: str | Path,
    frames: str | Path = "JPEGImages",
    masks: str | Path = "Annotations",
    output: str | Path | None = None,
) -> list[LabelReport]:
    """Check every labelled video of a folder, all of its frames and masks, and report all that is found.

    Args:
        root: folder that holds both.
        frames: folder of the videos' folders of frames, relative to root or absolute.
        masks: folder of the videos' folders of masks.
        output: folder for `labels.json`, made where it is missing.

    Returns:
        One report per video, in natural order of the names.

    Raises:
        DataError: if a folder is missing, or holds no videos.
        OSError: if `output` cannot be written.
    """
    base = require_folder(Path(root).expanduser(), "give the folder that holds frames and masks")
    frame_root = require_folder(base / frames, "name the folder of frames")
    mask_root = require_folder(base / masks, "name the folder of masks")
    names = labelled_names(mask_root)
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        reports = list(pool.map(lambda name: _check_video(name, frame_root / name, mask_root / name), names))
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        content = {"root": str(base), "videos": [asdict(report) for report in reports]}
        write_atomically(Path(output) / "labels.json", json.dumps(content, indent=1) + "\n")
    return reports


def _check_video(name: str, frame_folder: Path, mask_folder: Path) -> LabelReport:
    problems: list[str] = []
    try:
        frames, masks = list_images(frame_folder), list_images(mask_folder)
    except DataError as error:
        return LabelReport(name, 0, 0, (), {}, (str(error),), ())
    sizes: dict[str, tuple[int, int]] = {}
    if len(frames) < 2:
        problems.append(f"{frame_folder}: {len(frames)} frames; a video needs at least 2")
    for frame in frames:
        try:
            read_image(frame)
            sizes[frame.stem] = image_header(frame)[0]
        except DataError as error:
            problems.append(str(error))
    if len(several := sorted(set(map(pixels, sizes.values())))) > 1:
        problems.append(f"{frame_folder}: frames of several sizes: {', '.join(several)}")
    ids: dict[str, set[int]] = {}
    palettes: dict[str, bytes] = {}
    for mask in masks:
        try:
            with opened_image(mask) as image:
                check_mask_mode(mask, image)
                values = np.array(image, dtype=np.uint8)
                palettes[mask.stem] = bytes(image.getpalette() or ())
        except DataError as error:
            problems.append(str(error))
            continue
        ids[mask.stem] = set(object_ids(values)) | ({VOID} if (values == VOID).any() else set())
        if mask.stem not in {frame.stem for frame in frames}:
            problems.append(f"{mask}: mask without its frame in {frame_folder}")
        elif mask.stem in sizes and values.shape != sizes[mask.stem]:
            problems.append(f"{mask}: mask is {pixels(values.shape)}, its frame {pixels(sizes[mask.stem])}")
    order = [frame.stem for frame in frames]
    seen = {order.index(stem): values for stem, values in ids.items() if stem in order}
    starts = first_appearances(seen)
    if masks and not starts and not any(VOID in values for values in ids.values()):
        problems.append(f"{mask_folder}: no mask holds an object")
    if not masks:
        problems.append(f"{mask_folder}: holds no masks")
    entries = starts.values() or [t for t, values in seen.items() if VOID in values]  # a mask of 0 and 255: one object
    if entries and len(order) - min(entries) < 2:
        few = f"{len(order) - min(entries)} frames from the first object on"
        problems.append(f"{frame_folder}: {few}; needs at least 2")
    remarks = _remarks(order, seen, starts, palettes)
    named = {i: order[t] for i, t in sorted(starts.items())}
    return LabelReport(name, len(frames), len(masks), tuple(sorted(starts)), named, tuple(problems), tuple(remarks))


def _remarks(
    order: Sequence[str], seen: Mapping[int, set[int]], starts: Mapping[int, int], palettes: Mapping[str, bytes]
) -> list[str]:
    remarks = []
    missing = [stem for t, stem in enumerate(order) if t not in seen]
    if missing and len(seen) > len(order) / 2:
        remarks.append(f"{len(missing)} of {len(order)} frames have no mask, the first is {missing[0]}")
    if starts and sorted(starts) != list(range(1, max(starts) + 1)):
        remarks.append(f"ids have gaps: {', '.join(map(str, sorted(starts)))}")
    if late := [i for i, t in starts.items() if t > min(starts.values())]:
        remarks.append(f"objects that enter later: {', '.join(f'{i} at {order[starts[i]]}' for i in sorted(late))}")
    both = [t for t, values in seen.items() if VOID in values and len(values) > 1]
    if both:
        remarks.append(f"255 (void, not scored) with other ids in {len(both)} masks, the first is {order[min(both)]}")
    used = max([0, *starts]) + 1
    kinds = {palette[: 3 * used] for palette in palettes.values()}
    if len(kinds) > 1:
        remarks.append(f"{len(kinds)} palettes: one id has several colours; was a mask saved with another tool?")
    return remarks


def print_labels(reports: Sequence[LabelReport]) -> bool:
    """Print a line for each finding and a summary; return True if there is no problem."""
    for report in reports:
        for line in report.problems:
            print(f"{report.name}: {line}")
        for line in report.remarks:
            print(f"{report.name}: note: {line}")
    bad = sum(bool(report.problems) for report in reports)
    frames, masks = sum(report.frames for report in reports), sum(report.masks for report in reports)
    objects = sum(len(report.objects) for report in reports)
    print(f"{len(reports)} videos, {frames} frames, {masks} masks, {objects} objects; {bad} videos with problems")
    return not bad
