"""Generated videos in the layout of GOT-10k, which only tests need."""

from __future__ import annotations

from pathlib import Path

from vidcorr.datasets.generated.scene import Scenes
from vidcorr.datasets.generated.writers import boxes_of, layout, lines_of, numbered, write_frames, write_text


@layout()
def write_got10k(folder: Path, of: Scenes, count: int, valid: int = 0) -> None:
    """Write `count` training and `valid` validation videos in GOT-10k's layout; the target is the frontmost sprite.

    Args:
        valid: number of validation videos.
    """
    videos = of.rendered(count + valid)
    for split, last in (("train", count), ("val", valid)):
        members = numbered(f"GOT-10k_{split.title()}_{{:06d}}", range(1, last + 1))
        for name, (video, masks) in zip(members, videos, strict=False):
            write_frames(folder / split / name, video, numbered("{:08d}.jpg", range(1, of.frames + 1)))
            front = masks[0].max()
            cover = 8 * (masks == front).any((1, 2)).astype(int)
            write_text(folder / split / name / "groundtruth.txt", lines_of(boxes_of(masks, front), ",", "{:.4f}"))
            write_text(folder / split / name / "cover.label", numbered("{}", cover.tolist()))
        if members:
            write_text(folder / split / "list.txt", members)
