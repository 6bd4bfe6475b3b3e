"""Videos in which nothing moves and every position has its own colour, so that labels stay where they are."""

from pathlib import Path

import numpy as np

from vidcorr.datasets.generated.writers import write_frames, write_masks, write_text


def write_still_davis(root: Path, size: tuple[int, int], frames: int = 3) -> Path:
    """One sequence `still` of `size` in DAVIS's layout, with two objects that touch the right and the lower border."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    picture = np.stack([y * 250 // height, x * 250 // width, np.full(size, 128)], -1).astype(np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[height // 2 :, width // 4 : width // 2] = 1
    mask[height // 4 : height // 2, 2 * width // 3 :] = 2
    write_text(root / "ImageSets/2017/val.txt", ["still"])
    write_frames(root / "JPEGImages/480p/still", np.stack(frames * [picture]), [f"{t:05d}.png" for t in range(frames)])
    write_masks(root / "Annotations/480p/still", dict.fromkeys(range(frames), mask))
    return root
