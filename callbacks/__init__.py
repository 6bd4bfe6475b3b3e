"""What is measured while it learns: benchmarks and checkpoints as Lightning callbacks."""

from .base import BenchmarkCallback, BenchmarkError
from .checkpoint import BestCheckpoint
from .davis import DavisBenchmark
from .figure import figure
from .label_propagation import LabelPropagation, propagate_video
from .monitors import CollapseMonitor

__all__ = [
    "BenchmarkCallback",
    "BenchmarkError",
    "BestCheckpoint",
    "CollapseMonitor",
    "DavisBenchmark",
    "LabelPropagation",
    "figure",
    "propagate_video",
]
