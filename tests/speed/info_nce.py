"""Time and memory of InfoNCE, forward and backward, against the plain form that stores all logits, in one process.

python -m tests.speed.info_nce
"""

import torch
from torch.nn.functional import normalize

from tests.helpers.plain_info_nce import plain_info_nce
from tests.speed.timing import DEVICE, compare, flags
from vidcorr.functional import info_nce_loss

VIDEOS, KEYS = 256, 65536


def compare_width(width: int, rounds: int) -> None:
    predicted, target = (normalize(torch.randn(VIDEOS, 1, width, device=DEVICE), dim=-1) for _ in range(2))
    queue = normalize(torch.randn(KEYS, width, device=DEVICE), dim=-1)
    predicted.requires_grad_()
    compare(
        f"InfoNCE, K {KEYS}, B {VIDEOS}, d {width}",
        {"plain": lambda: plain_info_nce(predicted, target, queue, 0.2).backward()},
        lambda: info_nce_loss(predicted, target, queue, 0.2).backward(),
        rounds,
        memory=True,
    )


def main() -> None:
    parser = flags(__doc__, 7)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    given = parser.parse_args()
    for width in given.widths:
        compare_width(width, given.repeats)


if __name__ == "__main__":
    main()
