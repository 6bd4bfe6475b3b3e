from .benchmark import BenchmarkCallback as BenchmarkCallback
from .checkpoints import (
    AtomicCheckpointIO as AtomicCheckpointIO,
    BestCheckpoint as BestCheckpoint,
    LastCheckpoint as LastCheckpoint,
    TrainingStopped as TrainingStopped,
)
from .monitors import (
    CollapseMonitor as CollapseMonitor,
    Throughput as Throughput,
)
from .pictures import TrainingPictures as TrainingPictures
from .stops import Stops as Stops
