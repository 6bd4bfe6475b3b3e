"""State from which an interrupted `predict` resumes, kept next to its files until the video has ended."""

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream
from datamodules.reading.files import write_atomically
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, Prompt, objects_of
from datamodules.reading.source import stamp
from lightning_modules.checkpoints.reading import read_content
from lightning_modules.checkpoints.weights import digest_of
from lightning_modules.functional.evaluation_protocol import EvaluationProtocol
from lightning_modules.functional.propagation.screened_search import compiled_search_runs

UNFINISHED = "unfinished.pt"
SECONDS = 60.0
"""Time between two saves; at most a twentieth of the run goes into them."""


@dataclass
class Bookmark:
    """The position up to which a video has been tracked.

    Attributes:
        leg: number of the current pass, see `plan_legs`.
        frame: index, in that pass, of the frame to resume at.
        start: what the frames before it left behind; None at the beginning.
        state: gives the same of the frames that have been followed by now; set by what follows them.
    """

    leg: int = 0
    frame: int = 0
    start: Any = None
    state: Callable[[], Any] = field(default=lambda: None)


def identify(
    extractor: nn.Module,
    stream: FrameStream,
    prompts: Sequence[Prompt],
    protocol: EvaluationProtocol,
    short_side: int | None,
) -> dict[str, Any]:
    """Return everything that a prediction depends on, keyed by the name that users know."""
    pointed_at = hashlib.sha256()
    for prompt in prompts:
        pointed_at.update(_bytes_of(prompt))
    part = stream.part
    return {
        "video": [*stamp(stream.path), *stream.size],
        "part": [part.start, part.end, part.every],
        "prompt": pointed_at.hexdigest(),
        "protocol": protocol.digest(),
        "short_side": short_side,
        "VIDCORR_NATIVE": compiled_search_runs(),
        "network": identify_network(extractor),
    }


def identify_network(extractor: nn.Module) -> str:
    """Return a text that is the same for extractors of equal features alone: class, view and digest of the weights."""
    view = [getattr(extractor, name, None) for name in ("stage", "stride", "dilated", "multiple")]
    return f"{type(extractor).__name__} {view} {digest_of(extractor.state_dict())}"


def _bytes_of(prompt: Prompt) -> bytes:
    given: NDArray[Any]
    if isinstance(prompt, MaskPrompt):
        given = prompt.ids
    elif isinstance(prompt, BoxPrompt):
        given = np.array([prompt.x, prompt.y, prompt.width, prompt.height])
    else:
        given = prompt.points
    metadata = (type(prompt).__name__, prompt.frame, given.shape, objects_of(prompt))
    return repr(metadata).encode() + given.tobytes()


class Unfinished:
    """The file of an unfinished prediction.

    Args:
        path: path of the file.
        identity: identity of the command, see `identify`.

    Attributes:
        bookmark: where to resume.
        found: index of a frame → what was found in it, for boxes and points.
        seconds: that they took.
        seconds_of: the same by kind of work.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, identity
        self.bookmark, self.found = Bookmark(), dict[int, Tensor]()
        self.seconds, self.seconds_of = 0.0, dict[str, float]()
        self._saved, self._took = time.perf_counter(), 0.0

    def read(self, overwrite: bool) -> bool:
        """Restore the state in the file, and return whether the same command wrote it.

        Args:
            overwrite: let the file of another command be replaced.

        Raises:
            ValueError: if it is of another command, or cannot be read.
        """
        remedy = "set overwrite=true to begin again, or name another output_dir"
        try:
            content = read_content(self.path, mapped=False)
            differing = [name for name, value in self.identity.items() if content["identity"].get(name) != value]
            if not differing:
                self.bookmark = Bookmark(content["leg"], content["frame"], content["tracker"])
                self.found = dict(zip(content["places"], content["found"], strict=True))
                self.seconds, self.seconds_of = content["seconds"], content["seconds_of"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if overwrite:
                return False
            raise ValueError(f"{self.path}: is damaged; {remedy}") from error
        if differing and not overwrite:
            raise ValueError(
                f"{self.path.parent}: holds an unfinished prediction of another command (another "
                f"{', '.join(differing)}); repeat that command to resume it, {remedy}"
            )
        return not differing

    def is_due(self) -> bool:
        """Return whether it is time to save again."""
        return time.perf_counter() - self._saved >= max(SECONDS, 20 * self._took)

    def save(self, frame: int, seconds: float, seconds_of: dict[str, float], leg: int = 0) -> None:
        """Write the file atomically.

        Args:
            frame: index, in the pass, of the frame to resume at.
            seconds: seconds of the run so far.
            seconds_of: the same by kind of work.
            leg: number of the pass.
        """
        began = time.perf_counter()
        content = {
            "identity": self.identity,
            "leg": leg,
            "frame": frame,
            "tracker": self.bookmark.state(),
            "places": list(self.found),
            "found": torch.stack(list(self.found.values())) if self.found else [],
            "seconds": seconds,
            "seconds_of": dict(seconds_of),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(self.path, buffer.getvalue())
        self._saved = time.perf_counter()
        self._took = self._saved - began
