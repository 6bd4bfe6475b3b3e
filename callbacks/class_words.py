"""Words for LightningCLI that this project takes in short: classes and networks by name, a run by its checkpoint."""

import json
import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_info

from vidcorr.backbones.checkpoints import read_content, saved_model
from vidcorr.backbones.networks import SHORT_NAMES, read_spec, split_view
from vidcorr.backbones.trust import import_named
from vidcorr.errors import UsageError
from vidcorr.experiments.command_line import BEST, CommandLine
from vidcorr.experiments.configured import read_yaml

from .benchmark import BenchmarkCallback
from .run_folder import newest_checkpoint

LIBRARIES_OF_NETWORKS = ("timm", "torchvision", "transformers")
"""Libraries before the colon of a network's name."""


def class_words(section: str, name: str | None) -> list[str]:
    """Return the words for `--model NAME` or `--data NAME`.

    Args:
        section: `model` or `data`.
        name: a class (`VFSSimSiam`, `my_module:MyMethod`, `my_module.MyMethod`), or for `model` a network as `vidcorr
            evaluate` takes it (`dino-b8`, `last.ckpt`, `my_module:my_network`), which becomes a `FrozenEncoder`.

    Raises:
        UsageError: if a class with its module cannot be imported.
    """
    if name is None:
        return []
    if section == "model" and _is_network(name):
        words = ["--model=FrozenEncoder"]
        for key, value in read_spec(name).items():
            if value is not None:
                words.append(f"--model.{key}={value}")
        return words
    if not name.startswith("{") and ("." in name or ":" in name):
        module, _, attribute = name.replace(":", ".").rpartition(".")
        try:
            import_named(module, attribute, f"--{section} {name}")
        except ValueError as error:
            form = f"a class of your own is module:Class: --{section} my_module:MyClass"
            raise UsageError(f"{error}; {form}") from error
        name = f"{module}.{attribute}"
    return [f"--{section}={name}"]


def _is_network(name: str) -> bool:
    """Return whether the value of `--model` is a network rather than the class of a LightningModule."""
    if name.startswith("{"):
        return False
    spec, _ = split_view(name)
    is_file = spec.endswith((".ckpt", ".safetensors")) or ("." in spec and Path(spec).is_file())
    if spec in SHORT_NAMES or spec == "raw_colour" or is_file:
        return True
    module, colon, attribute = spec.partition(":")
    if not colon:
        return False
    if module in LIBRARIES_OF_NETWORKS:
        return True
    try:
        named = import_named(module, attribute, spec)
    except ValueError:
        return True  # the error of the encoder names the form
    return not (isinstance(named, type) and issubclass(named, pl.LightningModule))


def resumed(line: CommandLine) -> tuple[list[str], list[str]]:
    """Read `--ckpt_path`: the model of the checkpoint, and the newest checkpoint for `last`.

    The search for `last` covers `trainer.default_root_dir` and every `dirpath` of the callbacks. A `fit` without model
    and data continues the run of the checkpoint, by the `config.yaml` of the run. A `fit` without a checkpoint begins a
    new run.

    Returns:
        Words before and after the other words for LightningCLI.

    Raises:
        ValueError: if `validate` finds no checkpoint, or a checkpoint cannot be read.
    """
    before: list[str] = []
    after: list[str] = []
    path = line.value("ckpt_path")
    if path is None and line.command == "fit" and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        path = "last"  # SLURM runs the same line again
    if path == "last":
        root = Path(line.value("trainer.default_root_dir") or "runs").expanduser()
        path = _newest(line, root)
        after = [f"--ckpt_path={path or 'null'}", f"--trainer.default_root_dir={root}"]
    given = str(line.value("model", "model.class_path") or "")
    if path in (None, "null"):
        return before, after
    of_run = Path(path).parent.parent / "config.yaml"
    is_resumed = line.command == "fit" and not line.names_in("model") and not line.names_in("data")
    if is_resumed and of_run.is_file():
        rank_zero_info(f"the run continues by {of_run}")
        before = [_config_of_run(of_run, line)]
    saved = saved_model(path)
    if saved is not None and _last_name(given) in ("", _last_name(saved.class_path)):
        model = {"class_path": saved.class_path, "init_args": dict(saved.arguments)}
        before.insert(0, "--config=" + json.dumps({"model": model}))
    return before, after


def _config_of_run(path: Path, line: CommandLine) -> str:
    """Return the word for the `config.yaml` of a run that continues; benchmarks of `--on` replace those of the run."""
    if not line.given.on:
        return f"--config={path}"
    _, content = read_yaml(str(path))
    trainer = content.get("trainer") or {}
    entries = trainer.get("callbacks") or []
    trainer["callbacks"] = [entry for entry in entries if not _is_of_on(entry)]
    return f"--config={json.dumps(content)}"


def _is_of_on(entry: dict[str, Any]) -> bool:
    """Return whether an entry of `trainer.callbacks` is one that `--on` adds."""
    kind = _last_name(entry["class_path"])
    monitor = (entry.get("init_args") or {}).get("monitor")
    return kind == BenchmarkCallback.__name__ or (kind == BEST and monitor is None)


def _newest(line: CommandLine, root: Path) -> Path | None:
    """Return the checkpoint that `--ckpt_path last` means; None lets a `fit` begin a new run."""
    folders = [value for name, value in line.options if value and name.endswith(".dirpath")]
    path = newest_checkpoint(root, folders)
    if path is not None:
        state = read_content(path, whole=False)
        rank_zero_info(f"resuming from {path}: step {state['global_step']}, epoch {state['epoch']}")
    elif line.command == "fit":
        rank_zero_info(f"no last.ckpt in {root}: starting a new run")
    else:
        raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
    return path


def _last_name(class_path: str) -> str:
    """Return the name of a class without its module."""
    return class_path.replace(":", ".").rpartition(".")[2]
