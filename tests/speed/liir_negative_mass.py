"""Show what decides how much of Liir's softmax its negatives take: the keys' encoder, norms, and the size of the bank.

    python tests/speed/liir_negative_mass.py CKPT [CKPT ...] [--source ../shared/data/jhmdb_clips] [--size 96]

For each checkpoint, keys of other videos are made by the encoder itself and by its momentum encoder, with the position
map as it is and shifted at random as in training. A row has the mean norms of query and keys; the mean over cells of
the dot product with the same cell of the reference, of the log-sum-exp of the window and of the largest product with a
key; and `negative_mass` for several sizes of the bank.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from datamodules import VideoDataModule
from lightning_modules import Liir
from lightning_modules.functional.colour import drop_channel, normalised_lab
from lightning_modules.functional.position import displacement
from lightning_modules.functional.reconstruction import reconstruct_locally

SIZES = (960, 1920, 5760)
MAX_KEYS = 27_648
"""Cells of 48 frames of 96 px; larger frames give as many, drawn at random."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="CKPT")
    parser.add_argument("--source", default="../shared/data/jhmdb_clips")
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    data = VideoDataModule(
        options.source,
        frames=2,
        sampling="continuous",
        interval=5,
        spatial="whole",
        size=options.size,
        batch_size=16,
        validation_fraction=0,
        num_workers=0,
    )
    data.setup("fit")
    batches = iter(data.train_dataloader())
    pairs = seen_by(next(batches)["clip"])
    others = torch.cat([seen_by(next(batches)["clip"])[0][:, 1] for _ in range(3)])
    masses = " | ".join(f"mass, {size:,} keys" for size in SIZES)
    print(f"| checkpoint | keys by | positions | norm q | norm k | same place | window | largest key | {masses} |")
    print("|" + "---|" * (8 + len(SIZES)))
    for path in options.checkpoints:
        module = Liir.load_from_checkpoint(path, map_location="cpu").train()
        generator = torch.Generator().manual_seed(0)
        shift = displacement("shift", len(others), generator, lambda all_of_ranks: all_of_ranks)
        for name, encoder in (("encoder", module.backbone), ("average", module.target_encoder)):
            for positions, displace in (("their own", None), ("shifted", shift)):
                row = " | ".join(f"{value:.3g}" for value in measure(module, encoder, *pairs, others, displace))
                print(f"| {path} | {name} | {positions} | {row} |", flush=True)


def seen_by(clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Lab without a, `(B, 2, 3, H, W)`, and a, `(B, 2, 1, H, W)`."""
    lab = normalised_lab(clips / 255)
    return drop_channel(lab, 1), lab[:, :, 1, None]


@torch.no_grad()
def measure(module: Liir, encoder, seen, colours, others, displace) -> list[float]:
    features = module.backbone(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]).float()
    reference, query = features[:, :1], features[:, 1]
    settings = module.hparams
    local = reconstruct_locally(query, reference, colours[:, :1, :, ::4, ::4], settings["radius"], settings["border"])
    keys = encoder(others, displace).float().flatten(2).mT.flatten(0, 1)
    keys = keys[torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))[:MAX_KEYS]]
    products = query.flatten(2).mT @ keys.T  # B x hw x N
    mean_key = products.logsumexp(2) - torch.tensor(len(keys)).log()  # of one key drawn at random
    window = local.logsumexp.flatten(1)
    masses = [torch.sigmoid(mean_key + torch.tensor(size).log() - window).mean() for size in SIZES]
    same = (query * reference[:, 0]).sum(1)
    return [
        float(value.mean())
        for value in (query.norm(dim=1), keys.norm(dim=1), same, window, products.max(2).values, *masses)
    ]


if __name__ == "__main__":
    main()
