"""The frame of a video to which a file belongs, from names and numbers that state it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath

from .files import DataError

PREFIXES = ("frame", "image", "img")
"""Words before the number of a film's frame."""


class FrameNames:
    """The names of a video's frames.

    A frame of a folder has the name of its image. A frame of a film has its index as name, from 0: alone, or behind
    `frame`, `image`, `img`, or the film's name. It may also stand behind another beginning that all given files share,
    if there are several and their numbers have one width of at least 4 (`take3_0001.png`, `take3_0002.png`).

    Args:
        stems: names of the images of a folder, without suffixes; None: a film.
        film: name of the film, without suffix.
        given: names of all files that are given, without suffixes.

    Example:
        >>> film = FrameNames(film="clip")
        >>> [film.index(name) for name in ("00012.png", "clip_00012.png", "https://site/frame-12.jpg", "mask.png", 12)]
        [12, 12, 12, None, 12]
        >>> FrameNames(film="12").index("12.png") is None  # the film's own name
        True
        >>> folder = FrameNames(stems=["00000", "00005"])
        >>> [folder.index(name) for name in ("00005.json", "5.png", "frame_00005.png", 1)]
        [1, None, None, None]
    """

    def __init__(self, stems: Sequence[str] | None = None, film: str = "", given: Iterable[str] = ()) -> None:
        self._film = film
        # `stems`: names of a folder's images; None: the video is a film
        self._index = None if stems is None else {stem: index for index, stem in enumerate(stems)}
        # each name of the given files, without suffix, cut into its beginning and its last digits
        split_names = {re.fullmatch(r"(.*?)(\d*)", name).groups() for name in given}  # type: ignore[union-attr]
        beginnings = {beginning for beginning, _ in split_names}
        widths = {len(digits) for _, digits in split_names}
        # several files of one beginning and one width are a series of frames, `take3_0001`, `take3_0002`
        is_series = len(split_names) > 1 and len(beginnings) == len(widths) == 1 and min(widths) >= 4
        # a frame's number may stand alone, or behind one of these words
        words = [*PREFIXES, film, *(beginnings if is_series else ())]
        self._numbered = re.compile(rf"(?:(?:{'|'.join(map(re.escape, filter(None, words)))})[ _.-]?)?(\d+)", re.I)

    def index(self, name: str | int | None) -> int | None:
        """Return the index of the frame that a name states; None if it states no frame of the video.

        Args:
            name: a path of any system, a URL, or the index in a film. Beside a folder an index states nothing, as it
                may count the frames of the film from which the folder was made.
        """
        # `self._index`: name of a folder's image → its index; None: the video is a film
        if name is None or isinstance(name, int):
            return name if self._index is None else None
        stem = PureWindowsPath(name).stem
        if self._index is not None:
            return self._index.get(stem)
        # a number, alone or behind a known word; the film's own name is no frame, such as 12.png beside 12.mp4
        match = None if stem == self._film else self._numbered.fullmatch(stem)
        return int(match[1]) if match else None

    def frame_of(self, source: str, stated: Mapping[str, str | int | None]) -> int | None:
        """Return the frame of a file; None if nothing states one.

        Args:
            source: the file, for the message.
            stated: field of the file that may state the frame → its value, a name or an index; None without it.

        Raises:
            DataError: if two fields state different frames.

        Example:
            >>> film = FrameNames(film="clip")
            >>> film.frame_of("3.json", {"name": "00003.json", "imagePath": "frame_3.png"})
            3
            >>> film.frame_of("3.json", {"name": "3.json", "imagePath": "0.png"})  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            vidcorr.videos.files.DataError: 3.json: is of frame 3 by its name (3.json), 0 by its imagePath (0.png): ...
        """
        indices = {what: self.index(name) for what, name in stated.items()}
        stated_indices = {what: index for what, index in indices.items() if index is not None}
        if len(set(stated_indices.values())) > 1:
            told = ", ".join(f"{index} by its {what} ({stated[what]})" for what, index in stated_indices.items())
            raise DataError(f"{source}: is of frame {told}: rename one, or give {Path(source).name}@FRAME")
        return next(iter(stated_indices.values()), None)
