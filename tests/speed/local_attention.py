"""Time and memory of Liir's reconstruction, forward and backward, against a plain form, in one process.

python -m tests.speed.local_attention
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.speed.timing import DEVICE, compare, flags
from vidcorr.functional.reconstruction import reconstruct_locally

BATCH, CHANNELS, SIDE, REFERENCES, RADIUS = 2, 64, 64, 3, 6


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
    repeats = flags(__doc__, 5).parse_args().repeats
    query = torch.randn(BATCH, CHANNELS, SIDE, SIDE, device=DEVICE).div_(2).requires_grad_()
    references = torch.randn(BATCH, REFERENCES, CHANNELS, SIDE, SIDE, device=DEVICE).div_(2).requires_grad_()
    colours = torch.rand(BATCH, REFERENCES, 1, SIDE, SIDE, device=DEVICE)
    upstream = torch.randn(BATCH, 1, SIDE, SIDE, device=DEVICE)

    def gradients(form) -> tuple[Tensor, ...]:
        return torch.autograd.grad(form(query, references, colours, RADIUS), (query, references), upstream)

    compare(
        "reconstruction, forward and backward",
        {"shifts": lambda: gradients(by_shifts)},
        lambda: gradients(lambda *maps: reconstruct_locally(*maps).values),
        repeats,
        memory=True,
    )


if __name__ == "__main__":
    main()
