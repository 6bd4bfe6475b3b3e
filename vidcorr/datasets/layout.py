"""Layouts of folders: one answer for `--on`, `--model`, TRUTH and the readers of data sets."""

from pathlib import Path

from ..videos.annotations import look_of
from ..videos.files import DataError
from ..videos.folders import IMAGE_SUFFIXES, list_data, list_images, names_in
from ..videos.source import RESULTS, is_video


def layout_of(folder: Path) -> str:
    """Return what a folder is, and which argument takes it, by its names and a picture; "" if nothing tells.

    Raises:
        DataError: for a broken link.
    """
    folders, files = names_in(folder)
    if "run.json" in files:
        return "a run, for --model"
    below = [folder / name for name in folders]
    if any(names <= set(files) for names in RESULTS) or any((place / "results.json").exists() for place in below):
        return "results of vidcorr"
    if {"JPEGImages", "Annotations"} <= set(folders):
        has_resolutions = any(names_in(path)[0] for path in list_data(folder / "JPEGImages")[:1])
        return f"a data set, for --on {'davis' if has_resolutions else 'vos'}=FOLDER"
    if any((place / "meta.json").exists() for place in below):
        return "a data set, for --on youtube_vos=FOLDER"
    if any(map(is_video, files)):
        return "films, for --data.source"
    depth = 0
    while folders and depth < 2:  # resolution, video
        folder, depth = folder / folders[0], depth + 1
        folders, files = names_in(folder)
    images = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
    look = look_of(folder, images) if images else None
    if look is None:
        return ""
    owner = "videos" if depth else "a video"
    return f"masks of {owner}, for vidcorr score" if look.is_label else f"frames of {owner}, for --data.source"


def not_expected(folder: Path, expected: str) -> str:
    """Return the line that refuses a folder: what it is, if that is known, and what is expected in its place."""
    layout = layout_of(folder)
    return f"{folder}: {f'holds {layout}; ' if layout else ''}expected {expected}"


def require_video(path: Path) -> None:
    """Refuse a folder that holds no frames itself.

    Raises:
        DataError: saying what the folder is.
    """
    if path.is_dir() and not list_images(path):
        raise DataError(not_expected(path, "a video file, or a folder of frames"))
