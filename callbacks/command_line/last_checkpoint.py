"""`--ckpt_path last`: the newest checkpoint of the runs that a command line writes to, found before it is parsed."""

from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_info

from ..training.run_folder import last_checkpoints
from .arguments import Argument, option_of
from .classes import named_classes

DEFAULT_ROOT = "runs"
"""Default of `trainer.default_root_dir`."""


def with_last_checkpoint(arguments: Sequence[Argument]) -> list[Argument]:
    """Return the arguments with the path of the newest checkpoint in place of `last`, as a last flag, which wins.

    It is searched for below `trainer.default_root_dir` and in each `dirpath` of the callbacks, whether flags or files
    give them. A `fit` that finds none begins a new run.

    Raises:
        ValueError: if there is none to validate or predict with, or one of them cannot be read.
    """
    if option_of(arguments, "ckpt_path") != "last":
        return list(arguments)
    root, folders = DEFAULT_ROOT, []
    for choice in named_classes(arguments):
        if choice.section == "trainer":
            root = choice.arguments.get("default_root_dir") or root
        elif choice.section == "trainer.callbacks" and (folder := choice.arguments.get("dirpath")):
            folders.append(Path(folder).expanduser())
    found = last_checkpoints(Path(root).expanduser(), folders)
    if found:
        newest = f", the newest of {len(found)} runs" if len(found) > 1 else ""
        rank_zero_info(f"resuming from {found[-1].path}: step {found[-1].step}, epoch {found[-1].epoch}{newest}")
    elif arguments[0].flag == "fit":
        rank_zero_info(f"no last.ckpt in {root}: starting a new run")
    else:
        raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
    return [*arguments, Argument("--ckpt_path", str(found[-1].path) if found else "null")]


def require_last_checkpoint(trainer: Trainer, path: str | None) -> None:
    """Check that the checkpoint in place of `last` is the newest of the runs that a trainer writes to.

    Args:
        trainer: before its run, on rank 0.
        path: the checkpoint, None where a new run begins.

    Raises:
        ValueError: if it is another one: the command line was read in two ways.
    """
    folders = [folder for callback in trainer.callbacks if (folder := getattr(callback, "dirpath", None))]  # type: ignore[attr-defined]
    found = last_checkpoints(trainer.default_root_dir, folders)
    newest = str(found[-1].path.resolve()) if found else None
    if newest != (str(Path(path).resolve()) if path else None):
        raise ValueError(
            f"--ckpt_path last: would resume {path or 'nothing'}, but the newest run where this one writes is "
            f"{newest or 'none'}; give the path of a checkpoint"
        )
