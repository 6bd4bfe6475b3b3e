from .benchmark import BenchmarkCallback as BenchmarkCallback
from .best_checkpoint import BestCheckpoint as BestCheckpoint
from .checkpoint_files import AtomicCheckpointIO as AtomicCheckpointIO
from .checkpoints import (
    LastCheckpoint as LastCheckpoint,
    TrainingStopped as TrainingStopped,
)
from .monitors import (
    CollapseMonitor as CollapseMonitor,
    Throughput as Throughput,
)
from .pictures import TrainingPictures as TrainingPictures
from .stops import Stops as Stops
