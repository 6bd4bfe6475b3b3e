"""Measure the clips that a core reads of your data: `python docs/examples/feeding.py SOURCE FRAMES BATCHES`.

SOURCE is a folder, a list or an address. Seconds are of the processor: other work on the machine does not count.
"""

import sys
import time
from itertools import islice
from resource import RUSAGE_SELF, getrusage

import torch

from vidcorr.datamodules import VideoDataModule

if __name__ == "__main__":
    source, frames, batches = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    began, before = time.process_time(), getrusage(RUSAGE_SELF).ru_maxrss
    data = VideoDataModule(source, frames=frames, batch_size=16, num_workers=0, repeat=batches)
    data.setup()
    listed, memory = time.process_time() - began, (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{len(data.videos)} videos, listed in {listed:.1f} s and {memory:.0f} MiB")
    began = time.process_time()
    clips = sum(len(batch["clip"]) for batch in islice(data.train_dataloader(), batches))
    print(f"{clips / (time.process_time() - began):.1f} clips of {frames} frames a second and core")
