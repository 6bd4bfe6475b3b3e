"""Time and memory of InfoNCE, forward and backward, against the plain form that stores all logits, in one process.

python tests/speed/info_nce.py
python tests/speed/info_nce.py --videos 32 --frames 4      # as on each of 8 devices, n = 8
"""

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional import info_nce_loss
from tests.speed.timing import compare, flags


def plain(predicted: Tensor, target: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Logits of all pairs, each beside those of the whole queue; a copy of the queue, since it changes in place."""
    positive = predicted @ target.mT
    negative = (predicted @ queue.clone().T)[:, :, None].expand(*positive.shape, -1)
    logits = torch.cat([positive[..., None], negative], dim=-1).flatten(0, 2) / temperature
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def compare_width(width: int, videos: int, frames: int, keys: int, rounds: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    predicted, target = (normalize(torch.randn(videos, frames, width, device=device), dim=-1) for _ in range(2))
    queue = normalize(torch.randn(keys, width, device=device), dim=-1)
    own = torch.arange(keys, device=device) % 10_000 == torch.arange(videos, device=device)[:, None]
    predicted.requires_grad_()
    ours = {
        "streamed": lambda: info_nce_loss(predicted, target, queue, 0.2).backward(),
        "own video masked": lambda: info_nce_loss(predicted, target, queue, 0.2, own).backward(),
    }
    way = {"plain": lambda: plain(predicted, target, queue, 0.2).backward()}
    compare(f"InfoNCE, K {keys}, B {videos}, d {width}", way, ours, rounds, memory=True)


def main() -> None:
    parser = flags(__doc__, 7)
    parser.add_argument("--videos", type=int, default=256)
    parser.add_argument("--frames", type=int, default=1, help="n/2")
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    given = parser.parse_args()
    for width in given.widths:
        compare_width(width, given.videos, given.frames, given.queue, given.repeats)


if __name__ == "__main__":
    main()
