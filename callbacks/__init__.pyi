from .benchmarks.callback import BenchmarkCallback as BenchmarkCallback
from .benchmarks.davis import DavisBenchmark as DavisBenchmark
from .benchmarks.jhmdb import JhmdbBenchmark as JhmdbBenchmark
from .benchmarks.otb import OtbBenchmark as OtbBenchmark
from .benchmarks.ranks import BenchmarkError as BenchmarkError
from .benchmarks.tap_vid import BadjaBenchmark as BadjaBenchmark, TapVidBenchmark as TapVidBenchmark
from .benchmarks.vip import VipBenchmark as VipBenchmark
from .benchmarks.vos import VosBenchmark as VosBenchmark
from .benchmarks.youtube_vos import YoutubeVosBenchmark as YoutubeVosBenchmark
from .experiments.evaluate import evaluate as evaluate
from .experiments.figure import figure as figure
from .prediction import (
    VideoPrediction as VideoPrediction,
    follow_points as follow_points,
    predict_video as predict_video,
    propagate_masks as propagate_masks,
    propagate_points as propagate_points,
    track_box as track_box,
)
from .results.page import write_report as write_report
from .results.result import Result as Result
from .tracking.label_tracker import LabelTracker as LabelTracker
from .tracking.siamfc_tracker import SiamFCTracker as SiamFCTracker, TrackingProtocol as TrackingProtocol
from .training.checkpoint import BestCheckpoint as BestCheckpoint, LastCheckpoint as LastCheckpoint
from .training.checkpoint_files import AtomicCheckpointIO as AtomicCheckpointIO
from .training.monitors import (
    CollapseMonitor as CollapseMonitor,
    RunProgress as RunProgress,
    Throughput as Throughput,
)
from .training.safeguards import Safeguards as Safeguards, TrainingStopped as TrainingStopped
from .training.training_pictures import TrainingPictures as TrainingPictures
