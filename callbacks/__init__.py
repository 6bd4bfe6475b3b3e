"""What is measured while it learns: benchmarks and checkpoints as Lightning callbacks."""

from .base import BenchmarkCallback, BenchmarkError
from .checkpoint import BestCheckpoint
from .davis import DavisBenchmark
from .label_propagation import LabelPropagation, propagate_video

__all__ = [
    "BenchmarkCallback",
    "BenchmarkError",
    "BestCheckpoint",
    "DavisBenchmark",
    "LabelPropagation",
    "propagate_video",
]
