"""Time and memory of Liir's reconstruction, forward and backward, against two plain forms, in one process.

python tests/speed/local_attention.py                       # 64 × 64, C 64, R 6, 3 references, batch 2
python tests/speed/local_attention.py --batch 12 --only shifts --repeats 1
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional.compactness import CompactnessPrior
from lightning_modules.functional.reconstruction import reconstruct_locally
from tests.speed.timing import compare, flags


def by_unfolding(query: Tensor, references: Tensor, values: Tensor, radius: int) -> Tensor:
    """Every window copied out, as one batch over places."""
    side, (batch, count, channels, height, width) = 2 * radius + 1, references.shape
    keys = F.unfold(references.flatten(0, 1), side, padding=radius).view(batch, count, channels, -1, height * width)
    logits = (query.flatten(2)[:, None, :, None] * keys).sum(2).flatten(1, 2)
    inside = F.unfold(torch.ones_like(query[:1, :1]), side, padding=radius).repeat(1, count, 1) > 0
    weights = logits.masked_fill(~inside, -torch.inf).softmax(1).view(batch, count, 1, -1, height * width)
    colours = F.unfold(values.flatten(0, 1), side, padding=radius).view(batch, count, -1, side**2, height * width)
    return (weights * colours).sum((1, 3)).view(batch, -1, height, width)


def by_shifts(query: Tensor, references: Tensor, values: Tensor, radius: int) -> Tensor:
    """One product of whole maps for each offset."""
    height, width = query.shape[2:]
    padded, colours = (F.pad(maps, (radius,) * 4) for maps in (references, values))
    inside = F.pad(torch.ones_like(query[:1, :1], dtype=torch.bool), (radius,) * 4)
    offsets = [(y, x) for y in range(2 * radius + 1) for x in range(2 * radius + 1)]
    logits = []
    for y, x in offsets:
        product = (query[:, None] * padded[..., y : y + height, x : x + width]).sum(2)
        logits.append(product.masked_fill(~inside[..., y : y + height, x : x + width], -torch.inf))
    weights = torch.stack(logits, 2).flatten(1, 2).softmax(1).unflatten(1, (-1, len(offsets)))
    windows = (colours[..., y : y + height, x : x + width] for y, x in offsets)
    return sum(weights[:, :, n, None] * window for n, window in enumerate(windows)).sum(1)


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--radius", type=int, default=6)
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["unfold", "shifts"], help="plain forms")
    parser.add_argument("--compactness", action="store_true", help="time it with the prior too")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = given.channels, given.size, given.size
    query = torch.randn(given.batch, *shape, device=device).div_(2).requires_grad_()
    references = torch.randn(given.batch, given.references, *shape, device=device).div_(2).requires_grad_()
    colours = torch.rand(given.batch, given.references, 1, *shape[1:], device=device)
    upstream = torch.randn(given.batch, 1, *shape[1:], device=device)

    def gradients(form) -> tuple[Tensor, ...]:
        return torch.autograd.grad(form(query, references, colours, given.radius), (query, references), upstream)

    def tiles(*maps) -> Tensor:
        return reconstruct_locally(*maps).values

    def compact(*maps) -> Tensor:
        found = reconstruct_locally(*maps, prior=CompactnessPrior())
        return found.values + found.compactness

    forms = {"unfold": by_unfolding, "shifts": by_shifts}
    plain = {name: lambda form=forms[name]: gradients(form) for name in given.only}
    ours = {"tiles": lambda: gradients(tiles)} | (
        {"tiles, compactness": lambda: gradients(compact)} if given.compactness else {}
    )
    compare("reconstruction, forward and backward", plain, ours, given.repeats, memory=True)
    for name, way in plain.items():
        found = zip(gradients(tiles), way(), strict=True)
        print(f"largest difference to {name}, relative:", *(f"{((a - b).norm() / b.norm()):.1e}" for a, b in found))


if __name__ == "__main__":
    main()
