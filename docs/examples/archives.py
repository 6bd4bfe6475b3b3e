"""A DataModule and a Trainer of one's own, which resume: `python docs/examples/archives.py`, after `make demo`."""

from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import Dataset

from vidcorr import DavisBenchmark
from vidcorr.callbacks import BenchmarkCallback, LastCheckpoint, Stops
from vidcorr.datamodules.base import SampledDataModule
from vidcorr.lightning_modules import VFSSimSiam


class ArchiveClips(Dataset):
    """Clips of four successive frames of `.npz` archives: `frames`, uint8 RGB (T, 3, H, W)."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, key):
        """Return a clip of an archive, of four frames from a random first one; `key` is (epoch, number of the archive).

        The draw depends on the key alone, so that a resumed run repeats it.
        """
        epoch, index = key
        frames = torch.from_numpy(np.load(self.files[index])["frames"])
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        start = int(torch.randint(len(frames) - 3, (), generator=generator))
        return {"clip": frames[start : start + 4], "video_index": index}


class Archives(SampledDataModule):
    """Clips of a folder of archives; the device makes them float in [0, 1]."""

    def __init__(self, source: str, batch_size: int = 2, num_workers: int = 0, seed: int = 0) -> None:
        super().__init__(Path(source), batch_size, num_workers, seed)

    def setup(self, stage: str) -> None:
        """Hold the first archive out of the training, for validation."""
        files = sorted(self.source.glob("*.npz"))
        self.training = ArchiveClips(files[1:])
        self.held_out = ArchiveClips(files[:1])


if __name__ == "__main__":
    Path("archives").mkdir(exist_ok=True)
    for number in range(5):
        frames = np.random.default_rng(number).integers(0, 256, (6, 3, 64, 64), np.uint8)
        np.savez(f"archives/{number}.npz", frames=frames)
    benchmark = BenchmarkCallback(DavisBenchmark("demo/data/davis", changes={"radius": 3}))
    last = LastCheckpoint(dirpath="runs/archives")
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", callbacks=[benchmark, last, Stops()])
    trainer.fit(VFSSimSiam("torchvision:resnet18", base_lr=0.5), Archives("archives"), ckpt_path="last")
