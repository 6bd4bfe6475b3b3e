"""The metadata of this project in a checkpoint: which class it is of, who wrote it, and the digest of its weights."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn, strided

from . import trust
from .weights import digest_of

METADATA_KEY = "vidcorr"
FORMAT = 1
"""Format of the checkpoints that this release writes; it grows when arguments or weights change their names."""

FIELDS = {
    "hyper_parameters": dict,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "epoch": int,
    "global_step": int,
}
"""Fields of Lightning's checkpoints and their types, where they are there."""


class ForeignCheckpoint(ValueError):
    """A checkpoint that was not written by this project."""


def metadata_of(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what a checkpoint holds under `vidcorr`.

    Args:
        module: the module that is saved.
        state: its weights as they are saved.
    """
    class_path = import_path(type(module))
    trust.allow(class_path)  # this process runs the class, so its user has named it
    return {"class_path": class_path, "version": version("vidcorr"), "format": FORMAT, "digest": digest_of(state)}


def import_path(kind: type) -> str:
    """Return `package.module.Class`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def check_metadata(checkpoint: Any, source: str | Path) -> None:
    """Refuse what is not a checkpoint of ours, or whose fields are of other types than those we write.

    Args:
        checkpoint: the content of a file.
        source: the file, for messages.

    Raises:
        ForeignCheckpoint: if it has no metadata of this project.
        ValueError: if it is of a newer format, or a field is of another type.
    """
    metadata = checkpoint.get(METADATA_KEY) if isinstance(checkpoint, dict) else None
    if metadata is not None and not (isinstance(metadata, dict) and "class_path" in metadata):
        raise ValueError(f"{source}: is damaged: its vidcorr metadata names no class")
    if metadata is None:
        raise ForeignCheckpoint(f"{source}: no checkpoint of vidcorr; {convert_line(source)}")
    form = metadata.get("format", 1)
    if type(form) is not int or form < 1:
        raise ValueError(f"{source}: is damaged: its format must be a number from 1, got {str(form)[:40]!r}")
    if form > FORMAT:
        raise ValueError(
            f"{source}: written by vidcorr {str(metadata.get('version'))[:40]} in format {form}; "
            f"this is vidcorr {version('vidcorr')}, which reads formats up to {FORMAT}: update it"
        )
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ValueError(f"{source}: is damaged: it holds no state_dict of names and tensors")
    if not all(isinstance(value, Tensor) and value.layout == strided for value in state.values()):
        raise ValueError(f"{source}: is damaged: its state_dict holds something other than tensors")
    for field, kind in FIELDS.items():
        if field in checkpoint and type(checkpoint[field]) is not kind:
            raise ValueError(f"{source}: is damaged: its {field} must be a {kind.__name__}")


def convert_line(source: str | Path) -> str:
    """Return the advice for weights of another project, with the commands."""
    output = Path(str(source)).with_suffix(".ckpt").name
    if output == Path(str(source)).name:
        output = f"vidcorr_{output}"
    return (
        f"if these are weights of another project, convert them first: vidcorr convert {source} {output}; then give "
        f"{output}"
    )
