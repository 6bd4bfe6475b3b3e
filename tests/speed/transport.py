"""Bytes per second that workers of the loader pass to the main process, where no video is read.

    python -m tests.speed.transport

Each worker returns one ready batch of clips of 8 frames of 224 x 224, so that the time is that of the transport alone:
collation into shared memory, the queue, and, with `--pinned` (needs a GPU), the copy into pinned memory.
"""

from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.loading.clips import start_worker
from datamodules.loading.loader import SteadyLoader
from tests.speed.timing import flags
from vidcorr.videos.processes import server_context

CLIP = (8, 3, 224, 224)
BATCH = 32
WARM = 5


class ReadyClips(Dataset[Tensor]):
    """Clips that cost nothing: a view of one stored tensor."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.clip = torch.zeros(CLIP, dtype=torch.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.clip


def throughput(workers: int, batches: int, pinned: bool) -> float:
    """Return the clips per second that the main process receives."""
    loader = SteadyLoader(
        ReadyClips((batches + WARM) * BATCH),
        batch_size=BATCH,
        num_workers=workers,
        worker_init_fn=start_worker,
        multiprocessing_context=server_context(),
        pin_memory=pinned,
    )
    received = iter(loader)
    for _ in range(WARM):
        next(received)
    began = perf_counter()
    count = sum(len(batch) for batch in received)
    return count / (perf_counter() - began)


def main() -> None:
    parser = flags(__doc__, 5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers")
    parser.add_argument("--batches", type=int, default=60, help="batches of a run")
    parser.add_argument("--pinned", action="store_true", help="copy each batch into pinned memory, which needs a GPU")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clip_bytes = torch.zeros(CLIP, dtype=torch.uint8).nbytes
    print(f"batches of {BATCH} clips, {clip_bytes / 1e6:.2f} MB a clip")
    for workers in options.workers:
        run = partial(throughput, workers, options.batches, options.pinned)
        rates = sorted(run() for _ in range(options.repeats))
        best = rates[-1]
        median = rates[len(rates) // 2]
        speed = best * clip_bytes / 1e9
        print(f"{workers} worker(s): {best:.0f} clips/s (median {median:.0f}), {speed:.2f} GB/s at best")


if __name__ == "__main__":
    main()
