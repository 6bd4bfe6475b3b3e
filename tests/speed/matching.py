"""Time to match the 20 key points of a pair of pictures of 500 x 375 at 60 x 60 cells, C 768, against a plain loop.

The plain loop matches point by point: under `dift` with the pixels of both upsampled maps, as its code does, otherwise
with the cells. The pictures' encoding is not part of it.

python -m tests.speed.matching
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.speed.timing import DEVICE, compare, flags
from vidcorr.functional import match_keypoints
from vidcorr.protocols import MatchingProtocol

SIZE, POINTS = (375, 500), 20


def plain_pixels(source: Tensor, target: Tensor, points: Tensor) -> list[int]:
    """Match with all pixels of the upsampled target, point by point."""
    maps = [F.interpolate(each[None], SIZE, mode="bilinear")[0] for each in (source, target)]
    first, second = (F.normalize(each, dim=0) for each in maps)
    return [int((first[:, y, x] @ second.flatten(1)).argmax()) for x, y in points.long().tolist()]


def plain_cells(source: Tensor, target: Tensor, points: Tensor) -> list[int]:
    """Match with all cells of the target, point by point."""
    cells = (points * source.shape[1] / max(SIZE)).long()
    return [
        int(F.cosine_similarity(source[:, y, x, None], target.flatten(1), dim=0).argmax()) for x, y in cells.tolist()
    ]


def main() -> None:
    given = flags(__doc__, 5).parse_args()
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 768, 60, 60, generator=generator).to(DEVICE)
    points = torch.rand(POINTS, 2, generator=generator) * torch.tensor([499.0, 374.0])
    for name in ("dift", "sd-dino", "geoaware", "insid3", "probe3d"):
        protocol = MatchingProtocol.named(name)
        plain = plain_pixels if protocol.upsampling == "frame" else plain_cells
        compare(
            f"pair of pictures by {name}, {POINTS} points, 60 × 60 cells, C 768",
            {"plain": lambda plain=plain: plain(source, target, points)},
            lambda protocol=protocol: match_keypoints(source, target, points, SIZE, SIZE, protocol),
            given.repeats,
        )


if __name__ == "__main__":
    main()
