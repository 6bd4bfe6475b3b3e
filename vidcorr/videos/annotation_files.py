"""Masks of a command: PNGs, LabelMe's and COCO's JSON, folders and zips of these, with their frames."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .drawings import Stated
from .files import DataError, errors_at
from .folders import is_data, list_data, natural_order
from .frame_names import FrameNames
from .prompts import MaskPrompt


class _File(NamedTuple):
    """A file of masks.

    Attributes:
        path: the file.
        source: its name in messages.
        frame: the frame that `@FRAME` states; None without it.
        may_be_first: True for a PNG that was given alone; if nothing states its frame, it is of the first frame read.
        notes: sentences for the user.
    """

    path: Path
    source: str
    frame: int | None = None
    may_be_first: bool = False
    notes: tuple[str, ...] = ()


def read_masks(
    words: Sequence[str], stems: Sequence[str] | None = None, film: str = "", size: tuple[int, int] | None = None
) -> list[MaskPrompt]:
    """Read the masks of a command: PNGs, JSON of LabelMe or COCO, folders and zips, each `PATH` or `PATH@FRAME`.

    Of a zip the PNGs of `SegmentationObject` are read (CVAT's "Segmentation mask 1.1"), else its JSON, else its PNGs.
    The frame of a file is stated by `@FRAME`, else by the file's name, and in a JSON also by the name or index of an
    image (`FrameNames`). A PNG that is given alone and states no frame is of the first frame that is read. The masks
    keep names and colours, to which `Objects` gives ids.

    Args:
        words: the texts `PATH` or `PATH@FRAME`.
        stems: names of the frames of a folder, without suffixes.
        film: name of the film, without suffix.
        size: (height, width) of an image whose JSON states none, pixels.

    Returns:
        The masks, in the order of the words and files; `frame` is None for the first frame that is read.

    Raises:
        DataError: for a file that is missing or no mask, that states no frame, or that states two.
    """
    with TemporaryDirectory() as scratch:
        files: list[_File] = []
        for number, word in enumerate(words):
            files += _files_of_word(word, Path(scratch, str(number)))
        frames = FrameNames(stems, film, [file.path.stem for file in files])  # which frame a name states
        prompts: list[MaskPrompt] = []
        for file in files:
            images = MaskPrompt.in_file(file.path, file.source, size)
            if file.frame is not None and len(images) > 1:
                raise DataError(f"{file.source}: has {len(images)} images: @FRAME is for a file of one frame")
            for stated, prompt in images:
                notes = (*file.notes, *prompt.notes)
                prompts.append(replace(prompt, frame=_frame_of(file, stated, frames), notes=notes))
    return prompts


def _frame_of(file: _File, stated: Stated, frames: FrameNames) -> int | None:
    """Return the frame of a file: the frame of `@FRAME`, else the stated one; None: the first frame that is read.

    Args:
        file: the file.
        stated: field of the file that may state the frame → name or index; None if the file lacks the field. At least
            one field has a name.
        frames: names of the video's frames.

    Raises:
        DataError: if no field names a frame of the video, unless the file may be of the first one; or if two frames
            are stated.
    """
    frame = frames.frame_of(file.source, stated) if file.frame is None else file.frame  # `file.frame`: by `@FRAME`
    if frame is None and not file.may_be_first:  # only a PNG that was given alone may be of the first frame
        named = " and ".join(f"{what} {name}" for what, name in stated.items() if name is not None)
        raise DataError(f"{file.source}: its {named} names no frame of the video; give {file.path.name}@FRAME")
    return frame


def _files_of_word(word: str, scratch: Path) -> list[_File]:
    """Return the files that a word of `read_masks` names; a zip is unpacked into the folder `scratch`.

    Raises:
        DataError: for a path that holds no masks, or `@FRAME` behind several files.
    """
    path, frame = split_frame(word)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        files = [_File(file, f"{path}/{file.name}", frame) for file in _unpack(path, scratch / path.name)]
    elif path.is_dir():
        files = [_File(file, str(file), frame) for file in list_data(path) if file.suffix.lower() in (".png", ".json")]
    elif suffix in (".png", ".json"):
        # a PNG that is given alone may be of the first frame that is read
        files = [_File(path, str(path), frame, may_be_first=suffix == ".png")]
    else:
        raise DataError(f"{path}: no mask: expected a PNG of ids, JSON of LabelMe or COCO, or a zip of these")
    if not files:
        raise DataError(f"{path}: holds no PNG and no JSON")
    if len(files) > 1 and frame is not None:
        raise DataError(f"{word}: has {len(files)} files: @FRAME is for a file of one frame")
    # the files of CVAT's zip may give one object several colours: the first file carries a note for the user
    if len(files) > 1 and suffix == ".zip" and "SegmentationObject" in files[0].path.parts:
        note = f"{path}: CVAT numbers colours in each image by the order of drawing: look whether a colour is the "
        files[0] = files[0]._replace(notes=(f"{note}same object in all; its COCO has tracks",))
    return files


def _unpack(path: Path, folder: Path) -> list[Path]:
    """Unpack the masks of a zip into a folder, and return the files in natural order.

    The masks are the PNGs of `SegmentationObject`, else the JSON files, else all PNGs. Hidden files and folders
    (`is_data`) are left out, but the common folder of all members may be hidden.

    Raises:
        DataError: for a damaged zip.
    """
    with errors_at(path, Exception), zipfile.ZipFile(path) as archive:  # damage makes the readers fail in every way
        root = os.path.commonpath([os.path.dirname(name) for name in archive.namelist()] or [""])
        names = [name for name in archive.namelist() if all(map(is_data, Path(name).relative_to(root).parts))]
        pictures = [name for name in names if name.lower().endswith(".png")]
        of_objects = [name for name in pictures if "SegmentationObject" in Path(name).parts]
        texts = [name for name in names if name.lower().endswith(".json")]
        files = [Path(archive.extract(name, folder)) for name in of_objects or texts or pictures]
    return sorted(files, key=lambda file: natural_order(str(file)))


def with_flags_of_left(prompts: Sequence[MaskPrompt], words: Sequence[str], start: int) -> list[MaskPrompt]:
    """Return the masks, with the objects that have left by the words of `--left`, each `ID@FRAME`.

    Args:
        prompts: the masks; a mask without a frame is of frame `start`.
        words: texts `ID@FRAME`.
        start: index of the first frame that is read.

    Raises:
        DataError: for another text, or a frame without a mask.

    Example:
        >>> import numpy as np
        >>> mask = MaskPrompt.of(np.array([[1, 1]]))
        >>> with_flags_of_left([replace(mask, frame=30)], ["2@30"], start=0)[0].objects
        (1, 2)
    """
    masks = list(prompts)
    frames = [start if prompt.frame is None else prompt.frame for prompt in prompts]
    for word in words:
        number, _, frame = word.partition("@")
        if not number.isdecimal() or not frame.isdecimal() or int(frame) not in frames:
            raise DataError(f"--left {word}: expected ID@FRAME with a frame of --mask")
        place = frames.index(int(frame))
        masks[place] = masks[place].with_left([int(number)])
    return masks


def split_frame(word: str) -> tuple[Path, int | None]:
    """Split a text `PATH@FRAME` into path and frame; the frame is None without a number, or if a file has this name.

    Example:
        >>> split_frame("mask.png@12")
        (PosixPath('mask.png'), 12)
        >>> split_frame("mask@home.png")
        (PosixPath('mask@home.png'), None)
    """
    path, _, frame = word.rpartition("@")
    if not path or not frame.isdecimal() or Path(word).exists():
        return Path(word), None
    return Path(path), int(frame)
