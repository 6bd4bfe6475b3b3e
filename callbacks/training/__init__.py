"""Callbacks for `fit` other than the benchmarks: checkpoints, folders, safeguards, monitors."""

from .checkpoint import BestCheckpoint, LastCheckpoint
from .monitors import CollapseMonitor
from .run_folder import AtomicCheckpointIO
from .run_progress import RunProgress
from .safeguards import Safeguards, TrainingStopped
from .throughput import Throughput
from .training_pictures import TrainingPictures

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
]
