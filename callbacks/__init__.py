"""What is measured while it learns: benchmarks and checkpoints as Lightning callbacks."""

from .base import BenchmarkCallback, BenchmarkError
from .checkpoint import BestCheckpoint
from .davis import DavisBenchmark
from .figure import figure
from .jhmdb import JhmdbBenchmark
from .label_propagation import LabelPropagation, propagate_video
from .monitors import CollapseMonitor
from .vip import VipBenchmark
from .youtube_vos import YoutubeVosBenchmark

__all__ = [
    "BenchmarkCallback",
    "BenchmarkError",
    "BestCheckpoint",
    "CollapseMonitor",
    "DavisBenchmark",
    "JhmdbBenchmark",
    "LabelPropagation",
    "VipBenchmark",
    "YoutubeVosBenchmark",
    "figure",
    "propagate_video",
]
