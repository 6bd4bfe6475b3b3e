"""Rules that rename the keys of a foreign state dict, and cover every key or say which they do not."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checkpoints.weights import listed
from .foreign_file import State

RenameRules = Mapping[str, str]
"""Regular expression over a complete foreign key → our name (`\\1` is its first group), or why it is left out."""

DAVIS = "--config configs/benchmarks/davis.yaml"
FROZEN = "lightning_modules.frozen_encoder.FrozenEncoder"


@dataclass(frozen=True)
class Converted:
    """Foreign weights under the names of a module of ours."""

    class_path: str
    init_args: dict[str, Any]
    state: State
    unused: dict[str, str] = field(default_factory=dict)
    """Foreign key → reason to leave it out."""
    note: str = ""
    """Remark for the user."""
    measured_by: str = DAVIS
    """Arguments after `validate --ckpt_path FILE` that come closest to the source's own evaluation."""


@dataclass(frozen=True)
class Family:
    """One kind of foreign checkpoint; most become a `FrozenEncoder` by rules over their keys.

    Attributes:
        recognises: decide by the keys; only where they leave no doubt, otherwise the user names the family.
        taken: rules to the names of our module.
        left: rules for keys that are left out.
        architecture: name of the network that the weights are of, where the user gives none.
        note: remark for the user.
        measured_by: see `Converted`, of the network.
        rules: conversion in place of all this; the architecture is given where the user or the file names it.
    """

    recognises: Callable[[State], bool]
    taken: RenameRules = field(default_factory=dict)
    left: RenameRules = field(default_factory=dict)
    architecture: Callable[[State], str] = lambda state: ""
    note: str = ""
    measured_by: Callable[[str], str] = lambda spec: DAVIS
    rules: Callable[[State, str | None], Converted] | None = None

    def convert(self, state: State, architecture: str | None) -> Converted:
        """Convert weights.

        Raises:
            KeyError: if a key that the family needs is missing.
            ValueError: if no rule covers a key, two keys get one name, or the network is not known.
        """
        if self.rules is not None:
            return self.rules(state, architecture)
        spec = architecture or self.architecture(state)
        return frozen(spec, state, self.taken, self.left, self.note, self.measured_by(spec))


def rename(state: State, taken: RenameRules, left: RenameRules) -> tuple[State, dict[str, str]]:
    """Give every key its name in our module, or a reason to leave it out.

    Args:
        state: foreign weights.
        taken: rules for keys that are mapped.
        left: rules for keys that have none; these are tried first.

    Returns:
        Weights under our names, and foreign key → why it is left out.

    Raises:
        ValueError: if no rule covers a key, or two keys get one name.

    Example:
        >>> rename({"net.a": 1, "queue": 2}, {r"net\\.(.+)": r"\\1"}, {"queue": "negatives"})
        ({'a': 1}, {'queue': 'negatives'})
    """
    renamed: State = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        why = next((why for pattern, why in left.items() if re.fullmatch(pattern, key)), None)
        matches = ((re.fullmatch(pattern, key), name) for pattern, name in taken.items())
        found = next((match.expand(name) for match, name in matches if match), None)
        if why is not None:
            unused[key] = why
        elif found in renamed:
            raise ValueError(f"two tensors would become {found}, one of them is {key}")
        elif found is not None:
            renamed[found] = tensor
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(f"no rule says what these are: {listed(unknown)}")
    return renamed, unused


def frozen(
    spec: str, state: State, taken: RenameRules, left: RenameRules, note: str = "", measured_by: str = DAVIS
) -> Converted:
    """Return the conversion to a `FrozenEncoder` of the network `spec`, see `rename` and `Converted`."""
    renamed, unused = rename(state, taken, left)
    weights = {f"encoder.network.{name}": tensor for name, tensor in renamed.items()}
    return Converted(FROZEN, {"spec": spec}, weights, unused, note, measured_by)


RESNETS: dict[tuple[int, tuple[int, ...], int, int], str] = {
    (2, (2, 2, 2, 2), 64, 64): "resnet18",
    (2, (3, 4, 6, 3), 64, 64): "resnet34",
    (3, (3, 4, 6, 3), 64, 64): "resnet50",
    (3, (3, 4, 23, 3), 64, 64): "resnet101",
    (3, (3, 8, 36, 3), 64, 64): "resnet152",
    (3, (3, 4, 6, 3), 128, 128): "wide_resnet50_2",
    (3, (3, 4, 23, 3), 128, 128): "wide_resnet101_2",
    (3, (3, 4, 6, 3), 128, 4): "resnext50_32x4d",
    (3, (3, 4, 23, 3), 256, 8): "resnext101_32x8d",
}
"""Convolutions of a block, blocks of the stages, outputs and inputs of a 3 × 3 convolution of the first → name."""


def resnet_name(state: State, prefix: str = "") -> str:
    """Return torchvision's name of the ResNet whose weights these are, under its names after a prefix.

    Raises:
        ValueError: if there is none.
    """
    names = [key.removeprefix(prefix).split(".") for key in state if key.startswith(f"{prefix}layer")]
    blocks = tuple(len({part[1] for part in names if part[0] == f"layer{layer}"}) for layer in range(1, 5))
    convolutions = len({part[2] for part in names if part[:2] == ["layer1", "0"] and part[2].startswith("conv")})
    second = state.get(f"{prefix}layer1.0.conv2.weight")
    outputs, inputs = second.shape[:2] if second is not None else (0, 0)
    name = RESNETS.get((convolutions, blocks, outputs, inputs))
    if name is None:
        raise ValueError(
            f"a ResNet of {blocks} blocks of {convolutions} convolutions, unlike any of torchvision's; "
            "name it by --architecture"
        )
    return name
