"""Check folders of frames and masks before a benchmark: missing masks, sizes, ids, palettes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ..datasets.vos import first_appearances, labelled_names, object_values
from ..videos.files import write_atomically
from ..videos.guards import DataError, require_folder
from ..videos.images import image_header, opened_image, read_image, require_size
from ..videos.mask_files import VOID, check_masks, list_frames
from ..videos.source import list_images


@dataclass(frozen=True)
class LabelReport:
    """Findings on a labelled video.

    Attributes:
        name: name of the video.
        frames: number of frames.
        masks: number of masks.
        objects: ids, ascending.
        starts: object id → stem of the first frame with the object.
        problems: lines on errors that a reader refuses or would score wrongly.
        remarks: lines on unusual content that may be right.
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
    """Check all frames and masks of every labelled video in a folder.

    Args:
        root: folder that holds frames and masks.
        frames: folder of the videos' folders of frames, relative to root or absolute.
        masks: folder of the videos' folders of masks.
        output: folder for `labels.json`, made if missing.

    Returns:
        A report per video, in natural order of the names.

    Raises:
        DataError: if a folder is missing, or holds no videos.
        OSError: if `output` cannot be written.
    """
    base = require_folder(Path(root).expanduser(), "give the folder that holds frames and masks")
    frame_root = require_folder(base / frames, "name the folder of frames")
    mask_root = require_folder(base / masks, "name the folder of masks")
    names = labelled_names(mask_root)
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda name: _check_video(name, frame_root / name, mask_root / name), names))
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        content = {"root": str(base), "videos": [asdict(report) for report in reports]}
        write_atomically(Path(output) / "labels.json", json.dumps(content, indent=1) + "\n")
    return reports


def _check_video(name: str, frame_folder: Path, mask_folder: Path) -> LabelReport:
    try:
        frames = list_frames(frame_folder)
        files = list_images(mask_folder)
    except DataError as error:
        return LabelReport(name, 0, 0, (), {}, (str(error),), ())
    number = {frame.stem: t for t, frame in enumerate(frames)}
    masks = {number[mask.stem]: mask for mask in files if mask.stem in number}
    problems = [f"{mask}: mask without its frame in {frame_folder}" for mask in files if mask.stem not in number]
    seen: dict[int, set[int]] = {}
    for frame in frames:
        try:
            require_size(frame, read_image(frame).shape, image_header(frames[0])[0])
        except DataError as error:
            problems.append(str(error))
    for t, mask in masks.items():
        try:
            seen[t] = object_values(mask)
            check_masks({t: mask}, frames)
        except DataError as error:
            problems.append(str(error))
    starts = first_appearances(seen)
    entries = starts.values() or [t for t, values in seen.items() if VOID in values]  # a mask of 0 and 255: one object
    if not entries:
        problems.append(f"{mask_folder}: {'no mask holds an object' if files else 'holds no masks'}")
    elif len(frames) - min(entries) < 2:
        few = f"{len(frames) - min(entries)} frames from the first object on"
        problems.append(f"{frame_folder}: {few}; needs at least 2")
    order = [frame.stem for frame in frames]
    remarks = _remarks(order, seen, starts, {_palette(masks[t], max(starts, default=0)) for t in seen})
    named = {i: order[t] for i, t in sorted(starts.items())}
    return LabelReport(
        name, len(frames), len(files), tuple(sorted(starts)), named, tuple(dict.fromkeys(problems)), tuple(remarks)
    )


def _palette(mask: Path, highest: int) -> bytes:
    """Return the palette up to the highest id."""
    with opened_image(mask) as image:
        return bytes(image.getpalette() or ())[: 3 * (highest + 1)]


def _remarks(
    order: Sequence[str], seen: Mapping[int, set[int]], starts: Mapping[int, int], palettes: Collection[bytes]
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
    if len(palettes) > 1:
        remarks.append(f"{len(palettes)} palettes: one id has several colours; was a mask saved with another tool?")
    return remarks


def print_labels(reports: Sequence[LabelReport]) -> bool:
    """Print a line per finding and a summary; return True if no video has problems."""
    for report in reports:
        for line in (*report.problems, *(f"note: {remark}" for remark in report.remarks)):
            print(f"{report.name}: {line}")
    bad = sum(bool(report.problems) for report in reports)
    frames, masks = sum(report.frames for report in reports), sum(report.masks for report in reports)
    objects = sum(len(report.objects) for report in reports)
    print(f"{len(reports)} videos, {frames} frames, {masks} masks, {objects} objects; {bad} videos with problems")
    return not bad
