"""`--ckpt_path last`: the newest checkpoint of the runs that a command line writes to, found before it is parsed."""

from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info

from ..training.run_folder import last_checkpoints
from .classes import named_classes, option_of

DEFAULT_ROOT = "runs"
"""Default of `trainer.default_root_dir`."""


def with_last_checkpoint(args: Sequence[str]) -> list[str]:
    """Return the arguments with the path of the newest checkpoint in place of `last`, as a last flag, which wins.

    It is searched for below `trainer.default_root_dir` and in each `dirpath` of the callbacks, whether flags or files
    give them. A `fit` that finds none begins a new run.

    Args:
        args: as of `joined`, with the path of each `--config`.

    Raises:
        ValueError: if there is none to validate or predict with, or one of them cannot be read.
    """
    if option_of(args, "ckpt_path") != "last":
        return list(args)
    root, folders = DEFAULT_ROOT, []
    for choice in named_classes(args):
        if choice.section == "trainer":
            root = choice.arguments.get("default_root_dir") or root
        elif choice.section == "trainer.callbacks" and (folder := choice.arguments.get("dirpath")):
            folders.append(Path(folder).expanduser())
    found = last_checkpoints(Path(root).expanduser(), folders)
    if found:
        newest = f", the newest of {len(found)} runs" if len(found) > 1 else ""
        rank_zero_info(f"resuming from {found[-1].path}: step {found[-1].step}, epoch {found[-1].epoch}{newest}")
    elif args[0] == "fit":
        rank_zero_info(f"no last.ckpt in {root}: starting a new run")
    else:
        raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
    return [*args, f"--ckpt_path={found[-1].path if found else 'null'}"]
