"""Videos in which nothing moves and every position has its own colour, so that labels stay where they are."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidcorr.backbones import FeatureExtractor
from vidcorr.datasets.generated.writers import write_frames, write_masks, write_text


class Patches(FeatureExtractor):
    """Mean colour of whole patches, as a ViT sees an image; refuses a size that is no multiple of a patch."""

    def __init__(self, patch: int = 16) -> None:
        super().__init__("patches", ["patches"], "patches")
        self.multiple = self.patch = patch
        self.stride = patch

    def map_of(self, images: Tensor) -> Tensor:
        if images.shape[2] % self.patch or images.shape[3] % self.patch:
            raise ValueError(f"not whole patches: {tuple(images.shape)}")
        return torch.nn.functional.avg_pool2d(images, self.patch)


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
