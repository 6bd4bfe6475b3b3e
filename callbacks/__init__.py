"""What is measured while it learns: benchmarks and checkpoints as Lightning callbacks."""

from .base import BenchmarkCallback, BenchmarkError
from .compare import compare
from .davis import DavisBenchmark
from .figure import figure
from .jhmdb import JhmdbBenchmark
from .label_propagation import LabelPropagation, propagate_video
from .otb import OtbBenchmark
from .prediction import VideoPrediction, predict_video, propagate_masks, propagate_points, track_box
from .report import write_report
from .siamfc_tracker import SiamFCTracker, TrackingProtocol
from .training import (
    AtomicCheckpointIO,
    BestCheckpoint,
    CollapseMonitor,
    LastCheckpoint,
    Safeguards,
    Throughput,
    TrainingPictures,
    TrainingStopped,
    claim_version,
    newest_checkpoint,
)
from .vip import VipBenchmark
from .youtube_vos import YoutubeVosBenchmark

__all__ = [
    "AtomicCheckpointIO",
    "BenchmarkCallback",
    "BenchmarkError",
    "BestCheckpoint",
    "CollapseMonitor",
    "DavisBenchmark",
    "JhmdbBenchmark",
    "LabelPropagation",
    "LastCheckpoint",
    "OtbBenchmark",
    "Safeguards",
    "SiamFCTracker",
    "Throughput",
    "TrackingProtocol",
    "TrainingPictures",
    "TrainingStopped",
    "VideoPrediction",
    "VipBenchmark",
    "YoutubeVosBenchmark",
    "claim_version",
    "compare",
    "figure",
    "newest_checkpoint",
    "predict_video",
    "propagate_masks",
    "propagate_points",
    "propagate_video",
    "track_box",
    "write_report",
]
