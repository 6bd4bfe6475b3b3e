"""Public names of `callbacks`, imported when one of them is asked for."""

from .benchmarks.badja import BadjaBenchmark
from .benchmarks.base import BenchmarkCallback, BenchmarkError
from .benchmarks.davis import DavisBenchmark
from .benchmarks.jhmdb import JhmdbBenchmark
from .benchmarks.otb import OtbBenchmark
from .benchmarks.tap_vid import TapVidBenchmark
from .benchmarks.vip import VipBenchmark
from .benchmarks.vos import VosBenchmark
from .benchmarks.youtube_vos import YoutubeVosBenchmark
from .experiments.comparison import compare
from .prediction import (
    VideoPrediction,
    follow_points,
    predict_video,
    propagate_masks,
    propagate_points,
    track_box,
)
from .report import write_report
from .tools.figure import figure
from .tracking.box_protocol import TrackingProtocol
from .tracking.label_tracker import LabelTracker
from .tracking.siamfc_tracker import SiamFCTracker
from .training import (
    AtomicCheckpointIO,
    BestCheckpoint,
    CollapseMonitor,
    LastCheckpoint,
    RunProgress,
    Safeguards,
    Throughput,
    TrainingPictures,
    TrainingStopped,
)

__all__ = [
    "AtomicCheckpointIO",
    "BadjaBenchmark",
    "BenchmarkCallback",
    "BenchmarkError",
    "BestCheckpoint",
    "CollapseMonitor",
    "DavisBenchmark",
    "JhmdbBenchmark",
    "LabelTracker",
    "LastCheckpoint",
    "OtbBenchmark",
    "RunProgress",
    "Safeguards",
    "SiamFCTracker",
    "TapVidBenchmark",
    "Throughput",
    "TrackingProtocol",
    "TrainingPictures",
    "TrainingStopped",
    "VideoPrediction",
    "VipBenchmark",
    "VosBenchmark",
    "YoutubeVosBenchmark",
    "compare",
    "figure",
    "follow_points",
    "predict_video",
    "propagate_masks",
    "propagate_points",
    "track_box",
    "write_report",
]
