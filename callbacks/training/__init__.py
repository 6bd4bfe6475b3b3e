"""Callbacks for `fit` other than the benchmarks: checkpoints, folders, safeguards, monitors."""

from .checkpoint import BestCheckpoint, LastCheckpoint
from .checkpoint_files import AtomicCheckpointIO
from .monitors import CollapseMonitor, RunProgress, Throughput
from .safeguards import Safeguards, TrainingStopped
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
