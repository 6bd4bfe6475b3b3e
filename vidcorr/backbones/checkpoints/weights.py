"""Checks of a checkpoint's weights: they fit the module, and they are unchanged."""

import hashlib
from collections.abc import Iterable, Mapping
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
    if told := [f"{fault}: {listed(names)}" for fault, names in faults.items() if names]:
        raise ValueError(f"{source}: does not fit {type(module).__name__}; {'; '.join(told)}")


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
        raise ValueError(f"{source}: its weights are not those that were saved; if you edited them, remove its digest")


def listed(names: Iterable[str]) -> str:
    """Return the first three names in alphabetical order and the number of further names.

    Example:
        >>> listed(["c", "a", "b", "d", "e"])
        'a, b, c and 2 more'
    """
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
