"""The model that `--ckpt_path` stands for on a command line."""

import re
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from . import trust
from .reading import ForeignCheckpoint, check_metadata, read_content, recipe_of
from .trust import Recipe


def reconcile(saved: Recipe, chosen: Any, path: str | Path) -> None:
    """Give the encoder of a checkpoint to a model whose backbone the command line names, in place.

    A module over an encoder that itself came out of a checkpoint notes it as `encoder`; a command line names it by its
    path.

    Args:
        saved: class and arguments of the checkpoint's module.
        chosen: `class_path` and `init_args` that result from flags, files and those of `saved`.
        path: the checkpoint, for the message.

    Raises:
        ValueError: if another backbone is named than the one that the checkpoint holds.
    """
    arguments: MutableMapping[str, Any] = chosen.get("init_args") or {}
    key = next((name for name in trust.NETWORK_ARGUMENTS if name in saved.arguments), "")
    same = str(chosen["class_path"]).rpartition(".")[2] == saved.class_path.rpartition(".")[2]
    if not same or not saved.arguments.get(trust.RECIPE) or trust.RECIPE not in arguments:
        return
    noted = saved.arguments[key]
    if arguments[key] == noted:
        arguments[trust.RECIPE] = saved.arguments[trust.RECIPE]
    elif arguments[trust.RECIPE] is not None:
        raise ValueError(
            f"--ckpt_path {path} is over {noted}, but {arguments[key]} is named as its {key}: set "
            f"--model.{key} {noted} or leave it out"
        )


def saved_model(path: str | Path) -> Recipe | None:
    """Return class and arguments of the model that a checkpoint holds, as defaults for the parser of a command line.

    They have passed the gate (see `pass_gate`), and the weights' shapes fit them. The weights are not read here: who
    loads them verifies checksums and digest.

    Args:
        path: the value of `--ckpt_path`.

    Returns:
        None for Lightning's own words ("last", "best", "hpc"), for addresses such as `s3://…`, and for a checkpoint of
        Lightning that holds a module from outside this project: the command line must name its model.

    Raises:
        FileNotFoundError: if there is no such file.
        ForeignCheckpoint: if another project wrote it; the message has the line that converts it.
        ValueError: if it is damaged, or names what it may not name.
    """
    path = str(path)
    if not Path(path).is_file():
        if path in ("last", "best", "hpc") or "://" in path:
            return None
        raise FileNotFoundError(f"--ckpt_path: there is no file {path}")
    content = read_content(path, checksums=False)
    try:
        check_metadata(content, path)
    except ForeignCheckpoint:
        if isinstance(content, dict) and "pytorch-lightning_version" in content:
            return None
        raise
    recipe = recipe_of(content, path)
    trust.check_fit_of(recipe, content["state_dict"], path)
    return recipe


def allow_named(args: Sequence[str]) -> list[str]:
    """Allow files to name the code that a command line names.

    Counted as named is every name in an argument (`--model my_methods.Mine`, `--model.backbone=my_networks:small`, also
    within JSON), in a file given by `--config` or `-c`, and after `--allow`.

    Args:
        args: arguments of the command line.

    Returns:
        The arguments without `--allow NAME`.

    Raises:
        ValueError: if `--allow` has no name.
    """
    for before, arg in zip(["", *args], args, strict=False):
        flag, _, value = arg.partition("=")
        path = Path(value if flag == "--config" else arg)
        is_config = (flag == "--config" or before in ("--config", "-c")) and path.suffix in (".yaml", ".yml", ".json")
        content = path.read_text(errors="replace") if is_config and path.is_file() else ""
        trust.allow(*re.findall(r"[\w.]+(?::[\w.]+)?", f"{arg} {content}"))
    joined: list[str] = []
    for arg in args:
        if joined and joined[-1] == "--allow":
            joined[-1] += f"={arg}"
        else:
            joined.append(arg)
    if any(re.fullmatch("--allow(=-.*|=)?", arg) for arg in joined):
        raise ValueError("--allow: name the class or callable, package.module.Class or package.module:callable")
    return [arg for arg in joined if not arg.startswith("--allow=")]
