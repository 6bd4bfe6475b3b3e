from .benchmark import (
    BenchmarkCallback as BenchmarkCallback,
    BestCheckpoint as BestCheckpoint,
)
from .checkpoints import (
    AtomicCheckpointIO as AtomicCheckpointIO,
    LastCheckpoint as LastCheckpoint,
    TrainingStopped as TrainingStopped,
)
from .monitors import (
    CollapseMonitor as CollapseMonitor,
    Throughput as Throughput,
)
from .pictures import TrainingPictures as TrainingPictures
from .stops import Stops as Stops
