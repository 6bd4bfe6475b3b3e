"""GOT-10k as distributed: sequences of a subset, with the target's box and visible part in every frame."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..videos.files import DataError
from ..videos.folders import list_images
from .box_files import read_boxes, read_numbers
from .lists import read_names


def list_sequences(root: Path, subset: str) -> tuple[Path, ...]:
    """Return the folders of a subset's sequences, in the order of its list.txt."""
    folder = root / subset
    return tuple(folder / name for name in read_names(folder / "list.txt"))


def read_annotation(folder: Path) -> tuple[tuple[Path, ...], NDArray[np.float64], NDArray[np.float64] | None]:
    """List a sequence's frames; read its boxes (T, 4), and the target's visible parts (T,), 0 to 8, or None."""
    frames = list_images(folder)
    boxes = read_boxes(folder / "groundtruth.txt")
    path = folder / "cover.label"
    visible = read_numbers(path, "the visible part")[:, 0] if path.is_file() else None
    if not frames:
        raise DataError(f"{folder}: holds no frame")
    if len(frames) != len(boxes) or (visible is not None and len(visible) != len(boxes)):
        raise DataError(f"{folder}: frames, boxes and visible parts differ in number")
    return frames, boxes, visible
