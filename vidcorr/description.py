"""Description of a built network: its name, the source of its weights, the seed of random weights, and its input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializerFunctionWrapHandler, model_serializer

RANDOM_WEIGHTS = "random weights"
"""Source of weights that a library has drawn."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INPUTS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Name of an input, `--input NAME` → mean and standard deviation of its RGB in [0, 1]; "unit": RGB as it is."""
CALLER = "stated by the caller"
PROTOCOL = "of protocol "
"""Begins the source of an input that a protocol states."""
REMEDY = "state it by --input imagenet, half or unit, or by attributes input_mean and input_std of the module"
Channels = Annotated[tuple[float, float, float], BeforeValidator(tuple)]
"""Numbers of red, green and blue."""


def _as_tuple(values: Any) -> tuple[Any, ...]:
    """Return the values of a list, a tuple, an array or a tensor as a tuple; any other value as a tuple of one."""
    if hasattr(values, "flatten"):  # an array or a tensor, perhaps float32, which has 7 digits
        return tuple(float(f"{number:.7g}") for number in values.flatten().tolist())
    is_sequence = isinstance(values, Sequence) and not isinstance(values, str)
    return tuple(values) if is_sequence else (values,)


def _in_words(channels: Iterable[float]) -> str:
    """Return numbers as a text with commas, in the fewest digits."""
    return ", ".join(f"{value:g}" for value in channels)


class Input(BaseModel):
    """The RGB that a network gets, as part of its identity.

    Attributes:
        mean: subtracted from RGB in [0, 1].
        std: RGB is divided by it.
        source: who states both: the caller, the network's module, a package's record, a library's default, a
            checkpoint, a protocol; empty if nobody does: the network then gets RGB in [0, 1].
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    source: str = ""

    @classmethod
    def of(cls, mean: Iterable[float], std: Iterable[float], source: str) -> Self:
        """Return an input, after checking its numbers.

        Args:
            mean: three numbers in [0, 1]; a list, an array or a tensor.
            std: three numbers above 0 and at most 0.5, the largest deviation of numbers in [0, 1]; or three times 1,
                which leaves RGB as it is.
            source: who states them, as in `Input`.

        Raises:
            ValueError: for other values.
        """
        means: Any = _as_tuple(mean)
        deviations: Any = _as_tuple(std)
        are_numbers = all(isinstance(number, int | float) for number in means + deviations)
        are_three = len(means) == len(deviations) == 3
        if not (are_numbers and are_three) or not all(0 <= number <= 1 for number in means):
            raise ValueError(f"input {source}: mean and deviation are three numbers each, of RGB in [0, 1]")
        are_of_unit = all(0 < number <= 0.5 for number in deviations) or set(deviations) == {1}
        if not are_of_unit:
            raise ValueError(
                f"input {source}: a deviation of RGB in [0, 1] is above 0, at most .5; got {_in_words(deviations)}"
            )
        return cls(mean=means, std=deviations, source=source)

    @property
    def is_unit(self) -> bool:
        """True if the network gets RGB in [0, 1], neither shifted nor scaled."""
        return (self.mean, self.std) == INPUTS["unit"]

    @property
    def rgb(self) -> str:
        """The RGB in words: "RGB in [0, 1]", or by what it is normalised."""
        if self.is_unit:
            return "RGB in [0, 1]"
        if (self.mean, self.std) == INPUTS["imagenet"]:
            return "RGB normalised by ImageNet's mean"
        return f"RGB normalised by {_in_words(self.mean)} / {_in_words(self.std)}"

    def __str__(self) -> str:
        """Return the RGB in words, and who states it."""
        return f"{self.rgb} ({self.source})" if self.source else f"{self.rgb}; the module states no mean"

    @property
    def line(self) -> str:
        """The line that commands print about the input: "" if caller or protocol state it."""
        if self.source == CALLER or self.source.startswith(PROTOCOL):
            return ""
        is_known = self.source and self != UNKNOWN  # UNKNOWN: ImageNet's numbers, taken because nobody states any
        return f"input: {self}" if is_known else f"input: {self}: {REMEDY}"


UNKNOWN = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="its input is not known: ImageNet's taken")
"""The input of a network whose library normalises RGB, if nobody states by which numbers."""
OF_RANDOM = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="of random weights")
"""The input on which random weights are scored and trained."""


def stated_input(
    mean: Sequence[float] | None = None, std: Sequence[float] | None = None, name: str | None = None
) -> Input | None:
    """Return the input that a caller states, by mean and deviation or by a name; None if all arguments are None.

    Args:
        mean: three numbers, with `std`.
        std: three numbers, with `mean`.
        name: a key of `INPUTS`, in place of the numbers.

    Raises:
        ValueError: for a mean without a deviation, or both beside a name.

    Example:
        >>> print(stated_input(name="half"))
        RGB normalised by 0.5, 0.5, 0.5 / 0.5, 0.5, 0.5 (stated by the caller)
        >>> stated_input() is None
        True
    """
    if (mean is None) != (std is None) or (name and mean is not None):
        raise ValueError("input: give --mean and --std together, or --input alone")
    if name is not None:
        mean, std = INPUTS[name]
    return None if mean is None or std is None else Input.of(mean, std, CALLER)


class Network(BaseModel):
    """A network after it was built.

    Attributes:
        name: name in tables, given by the user, else the architecture, for example "ResNet-18".
        weights: source of the weights, for example "weights of vfs_r18.ckpt" or "random weights"; empty if `name`
            contains it.
        spec: the name that `load` takes, for example `torchvision:resnet18`; empty for a network without a name.
        seed: seed of random weights, or of the training; None if unknown.
        loaded: False only if the weights are known to be random.
        digest: digest of the weights; empty if the weights were not at hand.
        recipe: digest of all that made the weights but the seed. Networks of one name and recipe differ in their seed
            alone, and share a row of a table.
        step: optimiser steps behind the weights; None if unknown.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: str
    weights: str = ""
    spec: str = ""
    seed: int | None = None
    loaded: bool = True
    digest: str = ""
    recipe: str = ""
    step: int | None = None

    @model_serializer(mode="wrap")
    def _without_unknown_step(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {name: value for name, value in content.items() if name != "step" or value is not None}

    @classmethod
    def of(cls, module: object, name: str | None = None) -> Self:
        """Describe a network, or the network that a module holds.

        Args:
            module: a module with an attribute `described`, as our methods, `FrozenEncoder`, `Encoder` and its views
                have; any other module is described by the name of its class.
            name: the user's name, in place of architecture and weights; None: keep these.
        """
        described = getattr(module, "described", None)
        if not isinstance(described, cls):
            described = cls(name=type(module).__name__)
        return described if name is None else described.model_copy(update={"name": name, "weights": ""})

    def with_weights_of(self, source: str | Path, checkpoint: object = None) -> Self:
        """Return the description for weights loaded from a file, with seed, recipe and step of their training.

        Args:
            source: the file.
            checkpoint: its content. `global_step` is Lightning's; seed and recipe stand in the entry `run` of a
                training by command. What is missing, or of another type, is unknown.

        Example:
            >>> network = Network(name="ResNet-18", seed=7, loaded=False)  # random weights, drawn with seed 7
            >>> content = {"run": {"seed": 1, "recipe": "3f2a"}, "global_step": 600}
            >>> loaded = network.with_weights_of("runs/last.ckpt", content)
            >>> loaded.row, loaded.seed, loaded.recipe, loaded.step
            ('ResNet-18, weights of last.ckpt', 1, '3f2a', 600)
            >>> network.with_weights_of("own.pth", {"run": {"seed": "one"}}).seed is None
            True
        """
        content = checkpoint if isinstance(checkpoint, Mapping) else {}
        run = content.get("run")
        stated = (dict(run) if isinstance(run, Mapping) else {}) | {"step": content.get("global_step")}
        facts = {"weights": f"weights of {source_of(source)}", "loaded": True, "seed": None, "recipe": "", "step": None}
        for name, kind in (("seed", int), ("recipe", str), ("step", int)):
            if isinstance(stated.get(name), kind):
                facts[name] = stated[name]
        return self.model_copy(update=facts)

    @property
    def row(self) -> str:
        """Name and source of weights, joined by a comma; the name of the network's row in a table."""
        return ", ".join(filter(None, (self.name, self.weights)))

    def __str__(self) -> str:
        """Return the name of the row, with the seed of random weights."""
        return self.row if self.loaded or self.seed is None else f"{self.row}, seed {self.seed}"


def source_of(path: str | Path) -> str:
    """Return a file's name for results; for a file in the hub's cache its address and revision on the hub."""
    path = Path(path)
    for snapshots in path.parents:
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            repository = snapshots.parent.name.removeprefix("models--").replace("--", "/")
            revision, *file = path.relative_to(snapshots).parts
            return f"hf://{repository}/{'/'.join(file)} at {revision[:12]}"
    return path.name
