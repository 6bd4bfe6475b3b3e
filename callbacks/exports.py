"""Public names of `callbacks`, imported when one of them is asked for."""

from .benchmarks.base import BenchmarkCallback, BenchmarkError
from .benchmarks.davis import DavisBenchmark
from .benchmarks.jhmdb import JhmdbBenchmark
from .benchmarks.otb import OtbBenchmark
from .benchmarks.vip import VipBenchmark
from .benchmarks.youtube_vos import YoutubeVosBenchmark
from .prediction import VideoPrediction, predict_video, propagate_masks, propagate_points, track_box
from .report import write_report
from .tools.compare import compare
from .tools.figure import figure
from .tracking.boxes import SiamFCTracker, TrackingProtocol
from .tracking.label_propagation import LabelPropagation, propagate_video
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
    go_on_in_folder,
    last_checkpoints,
    newest_checkpoint,
)

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
    "go_on_in_folder",
    "last_checkpoints",
    "newest_checkpoint",
    "predict_video",
    "propagate_masks",
    "propagate_points",
    "propagate_video",
    "track_box",
    "write_report",
]
