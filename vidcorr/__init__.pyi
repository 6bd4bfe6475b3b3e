from .backbones import build_feature_extractor as build_feature_extractor, load as load
from .benchmarks.base import Benchmark as Benchmark
from .benchmarks.davis import DavisBenchmark as DavisBenchmark
from .benchmarks.jhmdb import JhmdbBenchmark as JhmdbBenchmark
from .benchmarks.otb import OtbBenchmark as OtbBenchmark
from .benchmarks.ranks import BenchmarkError as BenchmarkError
from .benchmarks.tap_vid import TapVidBenchmark as TapVidBenchmark
from .benchmarks.vip import VipBenchmark as VipBenchmark
from .benchmarks.vos import VosBenchmark as VosBenchmark
from .benchmarks.youtube_vos import YoutubeVosBenchmark as YoutubeVosBenchmark
from .callbacks import (
    AtomicCheckpointIO as AtomicCheckpointIO,
    BenchmarkCallback as BenchmarkCallback,
    BestCheckpoint as BestCheckpoint,
    CollapseMonitor as CollapseMonitor,
    LastCheckpoint as LastCheckpoint,
    Stops as Stops,
    Throughput as Throughput,
    TrainingPictures as TrainingPictures,
    TrainingStopped as TrainingStopped,
)
from .datamodules import (
    CentreCrops as CentreCrops,
    Continuous as Continuous,
    Distant as Distant,
    FractionPairs as FractionPairs,
    GapPairs as GapPairs,
    Got10kDataModule as Got10kDataModule,
    ImageClipDataModule as ImageClipDataModule,
    ImageFolderDataModule as ImageFolderDataModule,
    Looping as Looping,
    PairCrops as PairCrops,
    RandomCrops as RandomCrops,
    SyntheticVideoDataModule as SyntheticVideoDataModule,
    VideoDataModule as VideoDataModule,
    WholeFrames as WholeFrames,
)
from .experiments.reports.evaluation import evaluate as evaluate
from .lightning_modules import (
    ContrastiveRandomWalk as ContrastiveRandomWalk,
    CoSettle as CoSettle,
    FrozenEncoder as FrozenEncoder,
    Liir as Liir,
    LinearProbe as LinearProbe,
    SiameseMAE as SiameseMAE,
    SiamFC as SiamFC,
    VFSMoCo as VFSMoCo,
    VFSSimSiam as VFSSimSiam,
)
from .protocols import (
    PointProtocol as PointProtocol,
    PropagationProtocol as PropagationProtocol,
    TrackingProtocol as TrackingProtocol,
)
from .results.page import write_report as write_report
from .results.records import records as records
from .results.result import Result as Result, Row as Row
from .tracking.follow import follow as follow
from .tracking.siamfc_tracker import SiamFCTracker as SiamFCTracker
from .tracking.video_prediction import predict_video as predict_video
from .videos.prompts import BoxPrompt as BoxPrompt, MaskPrompt as MaskPrompt, PointPrompt as PointPrompt
from .videos.stream import FrameStream as FrameStream
