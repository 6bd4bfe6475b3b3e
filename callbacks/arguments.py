"""The words of a command line as LightningCLI takes them: configs before flags, and the model of a checkpoint."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_info

from vidcorr.backbones.checkpoints import saved_model
from vidcorr.backbones.networks import SHORT_NAMES, read_spec
from vidcorr.backbones.trust import allow_named
from vidcorr.experiments.configured import read_yaml

from .run_folder import last_checkpoints

OWN_ENCODER = "vidcorr-r18"
"""The network of a `predict` that names none."""
Options = list[tuple[str, Any]]
"""Options of configs and flags, with their values, in order of precedence; `init_args` is left out of the names."""


def arrange(args: Sequence[str], configs: Sequence[str] = ()) -> tuple[list[str], list[str], Options]:
    """Part the configs of a command line from its flags, so that flags win wherever they stand.

    A config of the project goes by its name (`data/kinetics.yaml`). A network as `vidcorr evaluate` takes it
    (`--model dino-b8`, `--model last.ckpt`) becomes a `FrozenEncoder`. Checkpoints may name the code that the command
    line and its configs name.

    Args:
        args: arguments after the command.
        configs: configs to read first.

    Returns:
        Words for the configs, words for the flags, and the options of both.

    Raises:
        UsageError: for a missing or unreadable config.
    """
    files: list[str] = []
    flags: list[str] = []
    of_files: Options = []
    of_flags: Options = []
    left = [*(f"--config={name}" for name in configs), *args]
    while left:
        name, equals, value = left.pop(0).partition("=")
        apart = not equals and bool(left) and not left[0].startswith("--")
        value = left[0] if apart else value
        if name in ("-c", "--config") and (equals or apart):
            path, content = read_yaml(value)
            files.append(f"--config={path}")
            of_files += flat(content)
            left = left[apart:]
        elif name == "--model" and _is_network(value):
            left = [*network_words(value), *left[apart:]]
        else:
            flags.append(name + equals + ("" if apart else value))
            if name.startswith("--"):
                of_flags.append((name[2:].replace(".init_args", ""), value))
    allow_named([args, of_files])
    return files, flags, of_files + of_flags


def network_words(network: str) -> list[str]:
    """Return the words for a `FrozenEncoder` of a network, see `read_spec`."""
    arguments = {key: argument for key, argument in read_spec(network).items() if argument is not None}
    return ["--model=FrozenEncoder", *(f"--model.{key}={argument}" for key, argument in arguments.items())]


def flat(content: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options of a config, such as `model.class_path` and `trainer.callbacks+.dirpath`."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from flat(value, name if key == "init_args" else f"{name}.{key}".removeprefix("."))
    elif isinstance(content, list):
        for entry in content:
            yield from flat(entry, name)
    else:
        yield name, content


def _is_network(value: str) -> bool:
    spec = value.partition("@")[0]
    is_file = spec.endswith((".ckpt", ".safetensors")) or ("." in spec and Path(spec).is_file())
    return not value.startswith("{") and (spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec or is_file)


def from_checkpoint(command: str, given: Options) -> tuple[list[str], list[str]]:
    """Read `--ckpt_path`: the model of the checkpoint, and the newest checkpoint for `last`.

    The search for `last` covers `trainer.default_root_dir` and every `dirpath` of the callbacks. A `fit` without model
    and data continues the run of the checkpoint, by the `config.yaml` of the run. A `fit` without a checkpoint begins a
    new run. A `predict` without a model takes `OWN_ENCODER`.

    Returns:
        Words before and after the other arguments of the command line.

    Raises:
        ValueError: if `validate` or `predict` find no checkpoint, or a checkpoint cannot be read.
    """
    options, before, after = dict(given), [], []
    path, told = options.get("ckpt_path"), ""
    if path == "last":
        root = Path(options.get("trainer.default_root_dir") or "runs").expanduser()
        folders = [Path(value).expanduser() for name, value in given if name.endswith(".dirpath")]
        found = last_checkpoints(root, folders)
        if not found and command != "fit":
            raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
        told, path = f"no last.ckpt in {root}: starting a new run", None
        if found:
            path = found[-1].path
            told = f"resuming from {path}: step {found[-1].step}, epoch {found[-1].epoch}"
        after = [f"--ckpt_path={path or 'null'}"]
    of_run = Path(path or "").parent.parent / "config.yaml"
    names_no_run = not any(name.startswith(("model", "data")) for name in options)
    if command == "fit" and path not in (None, "null") and names_no_run and of_run.is_file():
        before, told = [f"--config={of_run}"], f"{told or f'resuming from {path}'}, by {of_run}"
        if after:
            after.append(f"--trainer.default_root_dir={root}")
    if told:
        rank_zero_info(told)
    saved = None if path in (None, "null") else saved_model(str(path))
    named = str(options.get("model.class_path") or options.get("model") or "").rpartition(".")[2]
    if command == "predict" and saved is None and not named:
        before += network_words(OWN_ENCODER)
        rank_zero_info(f"no --model or --ckpt_path: following by {OWN_ENCODER}, the encoder that comes with vidcorr")
    if saved is not None and named in ("", saved.class_path.rpartition(".")[2]):
        model = {"class_path": saved.class_path, "init_args": dict(saved.arguments)}
        before.insert(0, "--config=" + json.dumps({"model": model}))
    return before, after
