from .reading import (
    SUFFIXES as SUFFIXES,
    ForeignCheckpoint as ForeignCheckpoint,
    module_from_checkpoint as module_from_checkpoint,
    read_content as read_content,
    saved_model as saved_model,
)
from .saving import (
    SavedModule as SavedModule,
    write_checkpoint as write_checkpoint,
    written_completely as written_completely,
)
from .trust import allow as allow, allow_named as allow_named, outside_code as outside_code, reconcile as reconcile
