"""A layout of one's own on disk: `--on docs.examples.paired.PairedBenchmark=FOLDER`."""

from pathlib import Path

from vidcorr import DavisBenchmark
from vidcorr.datasets import MaskSequence
from vidcorr.videos.folders import list_frames
from vidcorr.videos.mask_folder import MaskFolder


def paired_folders(root: str) -> list[MaskSequence]:
    """Read `<root>/JPEGImages/480p/<video>/*.jpg`, with a mask per frame in `Annotations`, named as its frame."""
    sequences = []
    for folder in sorted(Path(root, "JPEGImages/480p").iterdir()):
        frames = list_frames(folder)
        masks = MaskFolder(Path(root, "Annotations/480p", folder.name), frames, complete=True)
        starts = dict.fromkeys(masks.shown(0), 0)
        sequence = MaskSequence(name=folder.name, frames=frames, size=masks.size, masks=masks, starts=starts)
        sequences.append(sequence)
    return sequences


class PairedBenchmark(DavisBenchmark):
    """J and F on a folder of `paired_folders`."""

    name = "paired"

    def read(self):
        """Open the data set."""
        return paired_folders(self.root)
