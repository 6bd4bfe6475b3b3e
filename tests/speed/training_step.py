"""One training step of each method against its backbone alone, in one process, one after the other.

    OMP_NUM_THREADS=1 python -m tests.speed.training_step --repeats 20
    python -m tests.speed.training_step --device cuda --scale paper --compile       # a device of the configs' runs

A step is all that Lightning does from one batch to the next: the losses, both encoders, the optimiser, the momentum
update, the queue and the log. The backbone alone is forward and backward of the backbone on the same frames, normalised
beforehand and in one pass, and the forward pass of the momentum encoder's backbone where the method has one.
"""

import copy
import logging
import warnings
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cli import MIXED
from lightning_modules import ContrastiveRandomWalk, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.training import quiet_trainer
from tests.speed.timing import Times, flags, now, report
from vidcorr.backbones import Normalise
from vidcorr.functional.colour import normalised_lab
from vidcorr.functional.device import fastest_precision

WARM_UP = 2
"""Steps before those that count."""
CRW = "vidcorr.backbones:crw_training_resnet18"
R18, R50, TINY = "torchvision:resnet18", "torchvision:resnet50", "tests.helpers.encoders:TinyResNet"
SCALES = {"tiny": (4, 2, 2, 64), "cpu": (16, 4, 4, 112), "paper": (32, 8, 8, 224)}
"""Name → videos of a batch, frames of VFSSimSiam, frames of VFSMoCo, pixels; `paper` is a device of the configs."""


class Method(NamedTuple):
    """A method at one scale: its class and arguments, and a batch of noise."""

    kind: type[pl.LightningModule]
    arguments: dict[str, Any]
    batch: dict[str, Tensor]

    def module(self, compiled: bool = False) -> pl.LightningModule:
        torch.manual_seed(0)
        learns = "clip" in self.batch  # others have a frozen backbone, which is not compiled
        return self.kind(**self.arguments, **({"compile": True} if compiled and learns else {}))


def methods(scale: str) -> dict[str, Method]:
    """Return name → method."""
    tiny, paper, (videos, many, few, side) = scale == "tiny", scale == "paper", SCALES[scale]
    wide = 256 if paper else side
    backbone = {"backbone": TINY if tiny else R18}
    queue = {"queue_size": {"tiny": 64, "cpu": 8192, "paper": 65536}[scale]}
    walk = {"patch_size": 32, "patch_stride": 32} | backbone if tiny else {"backbone": CRW}
    liir = {"position_size": wide // 2, "bank": {"frames": 4 if tiny else 1440}}
    second = liir | {"schedule": {"warmup_epochs": 0}}

    def images(*shape: int, side: int = side) -> Tensor:
        return torch.randint(256, (*shape, 3, side, side), dtype=torch.uint8)

    def clips(count: int, frames: int, side: int = side) -> dict[str, Tensor]:
        return {"clip": images(count, frames, side=side), "video_index": torch.arange(count)}

    pictures = {"image": images(8 * videos), "label": torch.arange(8 * videos)}
    found = {
        "VFSSimSiam": Method(VFSSimSiam, backbone, clips(videos, many)),
        "VFSMoCo": Method(VFSMoCo, backbone | queue, clips(videos, few)),
        "Liir-warmup": Method(Liir, liir, clips(6, 2, wide)),
        "Liir": Method(Liir, second, clips(6, 2, wide)),
        "Liir-shared": Method(Liir, second | {"bank": liir["bank"] | {"negatives": "shared"}}, clips(6, 2, wide)),
        "Liir-same-place": Method(
            Liir, second | {"bank": liir["bank"] | {"negatives": "same_place"}}, clips(6, 2, wide)
        ),
        "Liir-average": Method(Liir, second | {"reference_encoder": "average"}, clips(6, 2, wide)),
        "ContrastiveRandomWalk": Method(ContrastiveRandomWalk, walk, clips(2 if tiny else 10, 4, wide)),
        "SiamFC": Method(SiamFC, backbone, {"exemplar": images(8, side=120), "search": images(8, side=239)}),
        "LinearProbe": Method(LinearProbe, backbone | {"num_classes": 1000}, pictures),
    }
    if paper:
        heads = {"projector_dim": 2048, "predictor_dim": 512}
        found["VFSSimSiam-R50"] = Method(VFSSimSiam, {"backbone": R50} | heads, clips(videos, many))
        found["VFSMoCo-R50"] = Method(VFSMoCo, {"backbone": R50} | queue, clips(videos, few))
    return found


class InMemory(pl.LightningDataModule):
    """One batch again and again: the loader costs nothing."""

    def __init__(self, batch: dict[str, Tensor]) -> None:
        super().__init__()
        self.batch = batch

    def train_dataloader(self) -> DataLoader[Any]:
        size = len(next(iter(self.batch.values())))
        pinned = torch.cuda.is_available()
        return DataLoader(range(size * 10**6), size, collate_fn=lambda _: self.batch, pin_memory=pinned)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        images = {name: item for name, item in batch.items() if item.dtype == torch.uint8}
        return batch | {name: item.float().div_(255) for name, item in images.items()}


class BarePasses:
    """Passes of a method's backbone on the frames of a batch, and nothing else.

    Frames that only a momentum encoder sees, or a backbone that does not learn, pass forward alone.
    """

    def __init__(self, module: Any, batch: dict[str, Tensor], precision: str) -> None:
        self.dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        self.backbone: nn.Module = copy.deepcopy(module.backbone)
        self.average = copy.deepcopy(self.backbone).requires_grad_(False)
        normalise = Normalise().to(module.device)
        if "clip" not in batch:  # a frozen backbone, which normalises by itself
            self.learned: list[Tensor] = []
            self.averaged = [batch[name] for name in ("exemplar", "search", "image") if name in batch]
            return
        clip = batch["clip"]
        learned, averaged = clip, clip[:, :0]
        if isinstance(module, Liir):
            normalise = normalised_lab
            if not module.warming_up:
                averaged = clip[:, -1:]  # the query, for the bank
                if module.hparams["reference_encoder"] == "average":
                    learned, averaged = clip[:, -1:], clip
        elif hasattr(module, "target_encoder"):
            learned, averaged = clip.chunk(2, dim=1)
        frames = learned.flatten(0, 1)
        if isinstance(module, ContrastiveRandomWalk) and module.hparams["nodes"] == "patches":
            frames = module.patches(frames)
        self.learned = [normalise(frames)]
        self.averaged = [normalise(averaged.flatten(0, 1))] if averaged.numel() else []

    def __call__(self) -> None:
        self.backbone.zero_grad()
        kind = (self.learned + self.averaged)[0].device.type
        with torch.autocast(kind, self.dtype, enabled=self.dtype is not None):
            with torch.no_grad():
                for frames in self.averaged:
                    self.average(frames)
            outputs = [self.backbone(frames) for frames in self.learned]
        for output in outputs:
            output.float().mean().backward()


class Beside(pl.Callback):
    """The seconds of each step, and after it those of the backbone alone; the first steps only warm up."""

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self.steps, self.bare = Times(), Times()
        self.began = now()
        self.passes: BarePasses | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        ended = now()
        self.passes = self.passes or BarePasses(pl_module, batch, self.precision)
        before = now()
        self.passes()
        if trainer.global_step > WARM_UP:
            self.steps.runs.append(ended - self.began)
            self.bare.runs.append(now() - before)
        self.began = now()


def main() -> None:
    parser = flags(__doc__, 10)
    parser.add_argument("--only", nargs="+", help="methods")
    parser.add_argument("--scale", default="cpu", choices=list(SCALES))
    parser.add_argument("--precision", choices=["bf16-mixed", "32-true"], help="default: the fastest here")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    precision = given.precision or MIXED[fastest_precision(given.device)[0]]
    known = methods(given.scale)
    for name in given.only or known:
        beside, steps = Beside(precision), WARM_UP + given.repeats
        trainer = quiet_trainer(
            accelerator=given.device, precision=precision, max_steps=steps, limit_val_batches=0, callbacks=[beside]
        )
        trainer.fit(known[name].module(given.compile), datamodule=InMemory(known[name].batch))
        if torch.cuda.is_available():
            print(f"memory: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
            torch.cuda.reset_peak_memory_stats()
        how = filter(None, [given.precision, "compiled" if given.compile else None])
        what = ", ".join([f"step of {name}", *how, "against its backbone's passes alone"])
        report(what, {"plain": beside.bare, "vidcorr": beside.steps})


if __name__ == "__main__":
    main()
