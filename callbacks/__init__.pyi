from .benchmark import BenchmarkCallback as BenchmarkCallback
from .best_checkpoint import BestCheckpoint as BestCheckpoint
from .checkpoint_io import AtomicCheckpointIO as AtomicCheckpointIO
from .last_checkpoint import LastCheckpoint as LastCheckpoint
from .monitors import (
    CollapseMonitor as CollapseMonitor,
    RunProgress as RunProgress,
    Throughput as Throughput,
)
from .safeguards import (
    Safeguards as Safeguards,
    TrainingStopped as TrainingStopped,
)
from .training_pictures import TrainingPictures as TrainingPictures
