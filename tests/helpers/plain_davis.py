"""The score of DAVIS by VFS's recipe, in plain torch: every similarity of two maps, masks and measures of whole images.

It shares no code with `DavisBenchmark`, and takes DAVIS's layout with all masks.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.helpers.plain_masks import plain_boundary_score, plain_decode, plain_region
from tests.helpers.plain_propagation import dense_attention, dense_mask

TOPK, TEMPERATURE = 10, 0.07


def plain_davis(root: Path, trunk: Callable[[Tensor], Tensor], radius: int, context: int, sequences: int) -> float:
    """Return J&F of the first sequences, a fraction, for a network that takes images (N, 3, H, W) in [0, 1]."""
    regions: list[float] = []
    boundaries: list[float] = []
    for folder in sorted((root / "Annotations" / "480p").iterdir())[:sequences]:
        masks = [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]
        images = sorted((root / "JPEGImages" / "480p" / folder.name).glob("*.jpg"))
        features = torch.stack([_features(trunk, path) for path in images])
        predictions = _propagated(features, masks[0], radius, context)
        inner = range(1, len(masks) - 1)  # neither the first frame nor the last is scored
        for number in range(1, masks[0].max() + 1):
            pairs = [(predictions[t] == number, masks[t] == number) for t in inner]
            regions.append(float(np.mean([plain_region(*pair) for pair in pairs])))
            boundaries.append(float(np.mean([plain_boundary_score(*pair) for pair in pairs])))
    return float(np.mean(regions) + np.mean(boundaries)) / 2


@torch.no_grad()
def _features(trunk: Callable[[Tensor], Tensor], path: Path) -> Tensor:
    """Return l2-normalised features of an image, (C, h, w)."""
    image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255
    return F.normalize(trunk(image[None])[0], dim=0)


def _propagated(features: Tensor, first: np.ndarray, radius: int, context: int) -> list[np.ndarray]:
    """Return the masks of all frames of features (T, C, h, w), from the mask of the first."""
    height, width = features.shape[2:]
    small = np.array(Image.fromarray(first).resize((width, height), Image.Resampling.NEAREST))
    one_hot = F.one_hot(torch.from_numpy(small).long(), int(first.max()) + 1)
    labels = [one_hot.permute(2, 0, 1).float()]
    near = dense_mask(height, width, radius, "circle")
    for t in range(1, len(features)):
        references = [0, *range(max(t - context, 0), t)]
        keys = features[references].transpose(0, 1).flatten(1)
        values = torch.stack([labels[r] for r in references]).transpose(0, 1).flatten(1)
        found = dense_attention(features[t].flatten(1), keys, values, near, TOPK, TEMPERATURE)
        labels.append(found.view_as(labels[0]))
    return [plain_decode(soft, first.shape).numpy() for soft in labels]
