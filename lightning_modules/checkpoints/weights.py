"""Checks of a checkpoint's weights: they fit the module, and they are unchanged."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


def check_fit(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that do not fit a module exactly.

    Args:
        module: the module to take them.
        state: its state dict.
        source: origin of the weights, for the message.

    Raises:
        ValueError: one line that names missing and unknown weights, and weights of another shape or type.
    """
    expected = module.state_dict()
    faults: dict[str, list[str]] = {
        "missing": [name for name in expected if name not in state],
        "unknown": [name for name in state if name not in expected],
        "of another shape": [],
        "of another type": [],
    }
    for name in expected.keys() & state.keys():
        wanted, given = expected[name], state[name]
        if given.shape != wanted.shape:
            faults["of another shape"].append(f"{name} {tuple(given.shape)} instead of {tuple(wanted.shape)}")
        if given.is_floating_point() != wanted.is_floating_point() or given.is_complex():
            faults["of another type"].append(f"{name} {given.dtype} instead of {wanted.dtype}")
    if any(faults.values()):
        raise ValueError(f"{source}: does not fit {type(module).__name__}; {told(faults)}")


def told(faults: Mapping[str, Collection[str]]) -> str:
    """Return faults of weights in one line: kind → names, with the prefix that would make names fit."""
    lists = [f"{fault}: {listed(names)}" for fault, names in faults.items() if names]
    missing, unknown = faults["missing"], set(faults["unknown"])
    first = min(missing, default="")
    prefixes = [name.removesuffix(first) for name in unknown if first and name.endswith(f".{first}")]
    fitting = [prefix for prefix in sorted(prefixes) if unknown.issuperset(prefix + name for name in missing)]
    return "; ".join(lists + [f"without the prefix {prefix!r} the names fit" for prefix in fitting])


def state_dict_error(error: RuntimeError) -> str:
    """Return the error of torch's `load_state_dict` in one line; empty for any other error.

    Example:
        >>> try:
        ...     nn.Linear(2, 1).load_state_dict({"net.weight": torch.zeros(1, 2), "net.bias": torch.zeros(1)})
        ... except RuntimeError as error:
        ...     state_dict_error(error)
        "missing: bias, weight; unknown: net.bias, net.weight; without the prefix 'net.' the names fit"
    """
    text = str(error)
    if not text.startswith("Error(s) in loading state_dict"):
        return ""
    lines = {fault: next((line for line in text.splitlines() if f"{fault} key(s)" in line), "") for fault in FAULTS}
    shapes = re.findall(r"size mismatch for (\S+):", text)
    faults = {ours: re.findall(r'"([^"]+)"', lines[theirs]) for theirs, ours in FAULTS.items()}
    return told(faults | {"of another shape": shapes})


FAULTS = {"Missing": "missing", "Unexpected": "unknown"}
"""Faults of weights in torch's words → in ours."""


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: their names, types, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_digest(state: Mapping[str, Tensor], noted: object, source: str | Path) -> None:
    """Refuse weights that were changed after saving; checkpoints without a digest pass.

    Args:
        state: the weights.
        noted: the digest in the checkpoint, or None.
        source: the file, for the message.

    Raises:
        ValueError: if the digests differ.
    """
    if noted is not None and digest_of(state) != noted:
        raise ValueError(
            f"{source}: its weights are not those that were saved (their digest differs): the file is damaged, or was "
            "edited; after an edit of your own remove ['vidcorr']['digest']"
        )


def listed(names: Iterable[str]) -> str:
    """Return the first three names in alphabetical order and the number of further names.

    Example:
        >>> listed(["c", "a", "b", "d", "e"])
        'a, b, c and 2 more'
    """
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
