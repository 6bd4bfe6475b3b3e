"""Labelled videos: a folder of frames and a folder of indexed masks (DAVIS, MOSE, a user's)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

from ..videos.files import DataError, require_one_of, user_path
from ..videos.folders import list_folders, list_frames, list_images
from ..videos.mask_folder import MaskFolder
from .layout import not_expected
from .lists import find_list, read_names
from .sequences import MaskSequence

Annotations = Literal["dense", "first"]
PATHS_OF_DAVIS_2016 = r"/JPEGImages/[^/]+/([^/]+)/\S+\s+/Annotations/\S+"
"""A line in the lists of DAVIS-2016: the paths of a frame and of its mask, which name the sequence."""


def Vos(
    root: str | Path,
    split: str | Path | None = None,
    frames: str | Path = "JPEGImages",
    masks: str | Path = "Annotations",
    one_object: bool = False,
    size_tolerance: int = 0,
    annotations: Annotations | None = None,
) -> list[MaskSequence]:
    """Read videos with masks of one or many objects, on some or all of their frames.

    Layout: `<root>/<frames>/<video>/*.jpg` (or .png) and `<root>/<masks>/<video>/*.png`, with equal stems of frame and
    mask. This is the layout of MOSE (`Vos("MOSE/train")`) and, in other folders, of DAVIS.

    Masks are PNGs: indexed, grey of 8 bits, or of few colours on black. 0 is background, 255 beside other ids is void
    (scored as background, as by DAVIS's official code). Ids may have gaps. If all masks of a video hold only 0 and 255,
    its object is number 1. An object starts with the first mask that shows it; frames before a video's first object are
    left out.

    `ground_truth` is True if a mask after the first object's can be scored: it shows an object from an earlier mask, or
    introduces none. It is False for masks that only introduce objects, as in validation splits with a server.

    Args:
        root: the folder that holds frames and masks.
        split: path of a list with a name per line, relative to root or absolute, or the name without `.txt` of a list
            in root or `root/ImageSets`; None: every folder of masks.
        frames: folder of the videos' folders of frames, relative to root or absolute.
        masks: folder of the videos' folders of masks.
        one_object: merge all objects of a video into number 1.
        size_tolerance: largest difference of a mask and its frame in height and width, pixels; the mask is resized to
            the frame by nearest pixel.
        annotations: "dense": every frame has ground truth, for the objects of the first frame; "first": only the first
            frame has a mask, nothing is scored; None: decide by the masks.

    Raises:
        ValueError: for other annotations.
        DataError: for a missing folder, list or video; a video with fewer than two frames, no mask or no object; or a
            mask that has no frame, another size than its frame, 16 bits or many colours, or is damaged. The message is
            one line that names the file.
    """
    require_one_of((None, *get_args(Annotations)), annotations=annotations)
    root = user_path(root)
    listed_in = None if split is None else find_list(root, split, ["{}.txt", "ImageSets/{}.txt"])
    names = list_folders(root / masks) if listed_in is None else read_names(listed_in, PATHS_OF_DAVIS_2016)
    if not names or (listed_in is None and list_folders(root / frames / names[0])):
        raise DataError(not_expected(root, f"masks in {masks}/<video>/<frame>.png"))

    def read(name: str) -> MaskSequence:
        video_frames = list_frames(root / frames / name)
        folder = MaskFolder(
            root / masks / name,
            video_frames,
            complete=annotations == "dense",
            only_first=annotations == "first",
            tolerance=size_tolerance,
        )
        starts = _starts(folder, annotations)
        return MaskSequence(
            frames=video_frames,
            masks=folder,
            starts={1: min(starts.values())} if one_object else starts,
            size=folder.size,
            name=name,
            sources=() if listed_in is None else (listed_in,),
            ground_truth=annotations == "dense" or (annotations is None and _can_be_scored(folder, starts)),
            one_object=one_object,
        )

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(read, names))


def _starts(masks: MaskFolder, annotations: Annotations | None) -> dict[int, int]:
    """Return object id → index of the frame that introduces the object."""
    starts = dict.fromkeys(masks.shown(0), 0) if annotations == "dense" else masks.starts()
    must_start_at_0 = annotations is not None
    if not starts or (must_start_at_0 and 0 not in starts.values()):
        raise DataError(f"{masks.folder}: no object in the mask that must introduce it; there is nothing to follow")
    return starts


def _can_be_scored(masks: MaskFolder, starts: dict[int, int]) -> bool:
    """Return True if some mask after the first object's frame is more than a prompt.

    A mask that only introduces objects is a prompt. A mask with an object of an earlier frame, or with no new object,
    even an empty one, holds truth.
    """
    first = min(starts.values())
    for t in masks:
        shows_no_new = t not in starts.values()
        shows_earlier = any(starts[number] < t for number in masks.shown(t))
        if t > first and (shows_no_new or shows_earlier):
            return True
    return False


def Davis(
    root: str | Path,
    year: Literal[2016, 2017] = 2017,
    split: str | Path | None = "val",
    resolution: str = "480p",
    annotations: Annotations | None = None,
    size_tolerance: int = 0,
) -> list[MaskSequence]:
    """Read the sequences of a DAVIS split.

    Layout: `JPEGImages/<resolution>/<sequence>/*.jpg`, `Annotations/<resolution>/<sequence>/*.png` and
    `ImageSets/<year>/<split>.txt`; or `ImageSets/<resolution>/<split>.txt` of DAVIS-2016, with the paths of a frame and
    its mask in a line.
    Objects are the ids of the first mask; in masks of only 0 and 255, as in 2016, the object is number 1.
    Paper: Pont-Tuset et al., The 2017 DAVIS Challenge (arXiv:1704.00675), section 2.

    Args:
        root: the folder that holds JPEGImages and Annotations.
        year: 2017, or 2016 for a single object per sequence (all ids become object 1).
        split: name of a list under ImageSets, path of a list file, or None for every folder of masks.
        resolution: folder under JPEGImages and Annotations.
        annotations: as for `Vos`; None: "first" for the test splits, else "dense".
        size_tolerance: as for `Vos`.

    Raises:
        ValueError: for other annotations.
        DataError: one line naming the file: a missing folder, list or sequence, a sequence of a single frame, masks
            that differ from the frames in count, names or size, a first frame without mask or object, masks of
            16 bits or many colours.
    """
    root = user_path(root)
    frames = root / "JPEGImages"
    resolutions = list_folders(frames)
    if not resolutions or list_images(frames / resolutions[0]):
        raise DataError(not_expected(root, f"frames in JPEGImages/{resolution}/<video>"))
    if resolution not in resolutions:
        remedy = f"--on COPY.yaml=FOLDER, a copy of configs/benchmarks/davis.yaml with `resolution: {resolutions[0]}`"
        held = ", ".join(resolutions)
        raise DataError(f"{frames}: holds {held}, not {resolution}; get DAVIS at {resolution}, or give {remedy}")
    if not annotations:
        # the truth of the test splits is on a server
        annotations = "first" if str(split).startswith("test") else "dense"
    if split is not None:
        split = find_list(root, split, [f"ImageSets/{year}/{{}}.txt", f"ImageSets/{resolution}/{{}}.txt"])
    return Vos(
        root,
        split,
        frames=f"JPEGImages/{resolution}",
        masks=f"Annotations/{resolution}",
        one_object=year == 2016,
        size_tolerance=size_tolerance,
        annotations=annotations,
    )
