"""Measure `label_rescaling_floor`: false pixels after an object has left, and J while it is in the picture.

python tests/speed/label_floor.py [--root ../shared/data/davis] [--spec raw_colour --stage colour]

A window of 240 × 320 px looks at the object of each real sequence, then moves to the corner that is farthest from it,
so that the object leaves the picture as it does under a camera that pans. Objects of a sequence count as one.
The floor is chosen on every second sequence and checked on the others.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from datamodules.datasets import Davis, MaskSequence
from lightning_modules.backbones import build_encoder
from lightning_modules.checkpoints import module_from_checkpoint
from lightning_modules.functional import PropagationProtocol, propagate_labels
from lightning_modules.functional.propagation.label_coding import decode_masks_by, encode_masks_by

FLOORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
WINDOW = (240, 320)


def panned(video: MaskSequence, frames: int, start: int, moving: int) -> tuple[Tensor, Tensor]:
    """Return frames `(T, 3, 240, 320)` in [0, 1] and masks `(T, 240, 320)` of a window that leaves the object."""
    masks = torch.stack([(video.mask(t) > 0).to(torch.uint8) for t in range(frames)])
    centre = masks[0].nonzero().float().mean(0).round().long()
    limits = torch.tensor([have - want for have, want in zip(video.size, WINDOW, strict=True)])
    first = torch.minimum((centre - torch.tensor(WINDOW) // 2).clamp_min(0), limits)
    last = torch.where(first > limits // 2, torch.zeros_like(limits), limits)
    pictures, truths = [], []
    for t in range(frames):
        way = min(max((t - start) / moving, 0), 1)
        top, left = (first + way * (last - first)).round().long().tolist()
        part = (slice(top, top + WINDOW[0]), slice(left, left + WINDOW[1]))
        pictures.append(video.frame(t)[:, *part].float() / 255)
        truths.append(masks[t][part])
    return torch.stack(pictures), torch.stack(truths)


def measure(
    extractor: nn.Module, video: MaskSequence, protocol: PropagationProtocol, frames: int, reduce: int
) -> Tensor:
    """Return a row for each frame but the first: pixels of the object, peak of its label; by floor, pixels and J."""
    pictures, truths = panned(video, min(frames, video.num_frames), start=2, moving=8)
    with torch.inference_mode():
        features = torch.cat([extractor(F.avg_pool2d(picture[None], reduce)) for picture in pictures])
        first = encode_masks_by(truths[0], [1], (features.shape[2], features.shape[3]), protocol)
        soft = list(propagate_labels(features, first, protocol))
    rows = []
    for labels, truth in zip(soft[1:], truths[1:].bool(), strict=True):
        peak = F.interpolate(labels[None], size=WINDOW, mode="bilinear")[0, 1].max()
        row = [truth.sum(), peak]
        for floor in FLOORS:
            mask = decode_masks_by(
                labels, [1], protocol.with_changes(label_rescaling_floor=floor), WINDOW, WINDOW
            ).bool()
            row += [mask.sum(), (mask & truth).sum() / (mask | truth).sum().clamp_min(1)]
        rows.append(torch.tensor([float(value) for value in row]))
    return torch.stack(rows)


def report(name: str, rows: Tensor) -> None:
    """Print the table of one half of the sequences."""
    gone = rows[:, 0] == 0
    print(f"{name}: {int((~gone).sum())} frames with the object, {int(gone.sum())} without")
    for kind, part in (("with", rows[~gone, 1]), ("without", rows[gone, 1])):
        quantiles = [f"{np.quantile(part, q):.3f}" for q in (0.01, 0.05, 0.5, 0.95, 0.99)]
        print(f"  peak of the label {kind} it, quantiles .01 .05 .5 .95 .99: {' '.join(quantiles)}")
    for number, floor in enumerate(FLOORS):
        pixels, overlap = rows[gone, 2 + 2 * number], rows[~gone, 3 + 2 * number]
        false = f"false pixels {pixels.mean():7.1f} (median {pixels.median():6.0f})"
        print(f"  floor {floor:.2f}: {false}; J {overlap.mean():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="../shared/data/davis")
    parser.add_argument("--spec", default="raw_colour", help="a network's name or a checkpoint")
    parser.add_argument("--stage")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--reduce", type=int, default=1, help="of the frames' sides, for objects of fewer cells")
    parser.add_argument("--seed", type=int, default=0, help="of the untrained weights")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    protocol = PropagationProtocol.named("vfs")
    source = module_from_checkpoint(args.spec) if args.spec.endswith(".ckpt") else args.spec
    extractor = build_encoder(source).feature_extractor(args.stage, 8).eval()
    rows = [measure(extractor, video, protocol, args.frames, args.reduce) for video in Davis(args.root)]
    print(f"{args.spec}, seed {args.seed}, {len(rows)} sequences, {args.frames} frames, reduced by {args.reduce}")
    report("chosen on", torch.cat(rows[::2]))
    report("checked on", torch.cat(rows[1::2]))


if __name__ == "__main__":
    main()
