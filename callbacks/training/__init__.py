"""What serves `fit` beside the benchmarks: checkpoints, folders, safeguards, and what is watched meanwhile."""

from .checkpoint import BestCheckpoint, LastCheckpoint
from .monitors import CollapseMonitor
from .pictures import TrainingPictures
from .run_folder import AtomicCheckpointIO, claim_version, newest_checkpoint
from .run_progress import RunProgress
from .safeguards import Safeguards, TrainingStopped
from .throughput import Throughput

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "CollapseMonitor",
    "LastCheckpoint",
    "RunProgress",
    "Safeguards",
    "Throughput",
    "TrainingPictures",
    "TrainingStopped",
    "claim_version",
    "newest_checkpoint",
]
