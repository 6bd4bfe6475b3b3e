"""Pairs of target crops for fine-tuning a tracker, from GOT-10k's layout."""

import os
from pathlib import Path

from vidcorr.datasets.got10k_files import list_sequences
from vidcorr.videos.files import require_at_least, user_path

from .base import SampledDataModule
from .loading.target_pairs import TargetPairs


class Got10kDataModule(SampledDataModule):
    """Pairs of nearby frames of a sequence, cropped around the target.

    A batch is a dictionary:

    - `exemplar`: (B, 3, 120, 120) uint8 from the loader; float RGB in [0, 1] on the device;
    - `search`: (B, 3, 239, 239), in the same types;
    - `video_index`: (B,) long, index of the sequence in the list;
    - `failures`: a line per sequence that was replaced, because it could not be read or has no two usable frames less
      than `MAX_GAP` apart.

    Crops are shifted by up to 4 px, zoomed by up to 5 % and resized by a random method. Without a `val` list the
    validation loader gives an empty batch. All draws are a function of (seed, epoch, sample).

    Reads `<root>/train/list.txt` and per sequence `%08d.jpg`, `groundtruth.txt` and, if present, `cover.label`.
    Paper: Huang, Zhao and Huang, GOT-10k (TPAMI 2019); VFS, appendix. Draws as in the SiamFC code of VFS, which
    resamples a crop three times; here it is resampled once.

    Args:
        root: folder that holds `train` and optionally `val`.
        repeat: pairs per sequence in an epoch.
        batch_size: pairs per rank.
        num_workers: decoding processes per rank; by default the usable cores, at most 8.
        seed: seed of every draw; None: the run's.

    Raises:
        DataError: from `setup`, if the layout is not as described.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        repeat: int = 1,
        batch_size: int = 8,
        num_workers: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(Path(root) / "train", batch_size, num_workers, seed)
        require_at_least(1, repeat=repeat)
        self.root = user_path(root)
        self.repeat = repeat

    def setup(self, stage: str = "fit") -> None:
        """List the sequences of `train`, and of `val` if it has a list."""
        folders = list_sequences(self.root, "train")
        self.training = TargetPairs(folders, len(folders) * self.repeat, self.seed)
        if (self.root / "val" / "list.txt").is_file():
            folders = list_sequences(self.root, "val")
            self.held_out = TargetPairs(folders, len(folders), ~self.seed)  # other draws than in training
