"""The gate for classes that a file names.

A checkpoint is data. It may name a class of this project, with arguments of plain types that fit the class's signature.
Code outside the project is imported only if the user has named it: on the command line, by a call in this process, or
by `allow`.
"""

import contextvars
import importlib
import inspect
import os
import re
import reprlib
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from torch import Tensor, nn

from .weights import check_fit

OURS = "lightning_modules"
OWN_NETWORKS = frozenset({"vidcorr.backbones:crw_resnet18", "vidcorr.backbones:crw_training_resnet18", "raw_colour"})
"""Encoders of this project that a file may name, in addition to the networks of timm and torchvision."""
LIBRARIES = ("timm", "torchvision")
LIBRARY_NAME = re.compile(r"(timm|torchvision):\w+(\.\w+)?", re.ASCII)
"""A name of a library; not timm's addresses (`timm:hf-hub:USER/MODEL`, `timm:local-dir:PATH`)."""
NETWORK_ARGUMENTS = ("spec", "backbone")
"""Arguments that name an encoder."""
UPSAMPLE = "upsample"
"""The argument that names an upsampler of the features."""
INTERPOLATION = re.compile(r"(bilinear|nearest):([1-9]\d?)", re.ASCII)
"""An upsampler of this project: rule and factor."""
RECIPE = "encoder"
"""The argument that holds a nested class and its arguments."""
MAX_NESTING = 4
SHORT = reprlib.Repr()
SHORT.maxstring = 80

_allowed: set[str] = set()


@dataclass(frozen=True)
class Recipe:
    """A class and arguments from a file that have passed the gate.

    Attributes:
        kind: the class.
        class_path: its import path.
        arguments: arguments of its constructor, plain types only.
        ours: only code of this project, timm and torchvision is involved.
    """

    kind: type[nn.Module]
    class_path: str
    arguments: dict[str, Any]
    ours: bool


def allow(*names: str) -> None:
    """Allow files to name code outside this project.

    Args:
        names: `package.module.Class` or `package.module:callable`, exactly as in the files.
    """
    _allowed.update(names)


def allow_named(given: object) -> None:
    """Allow files to name the code that a user's arguments name.

    Args:
        given: words of a command line, and contents of its configs; every name in their text is allowed
            (`--model=my_methods.Mine`, `my_networks:small`, also within JSON).
    """
    allow(*re.findall(r"[\w.]+(?::[\w.]+)?", str(given)))


def outside_code(model: Mapping[str, Any]) -> list[str]:
    """Return the code outside this project that a model names, as arguments of `--allow`.

    Args:
        model: `class_path` and `init_args`.
    """
    arguments = model.get("init_args") or {}
    networks = [str(arguments.get(name)) for name in (*NETWORK_ARGUMENTS, UPSAMPLE)]
    libraries = (LIBRARY_NAME, INTERPOLATION)
    foreign = [name for name in networks if ":" in name and not any(known.fullmatch(name) for known in libraries)]
    classes = [] if str(model["class_path"]).startswith(f"{OURS}.") else [str(model["class_path"])]
    return classes + [name for name in foreign if name not in OWN_NETWORKS]


def pass_gate(class_path: Any, arguments: Any, source: str | Path, depth: int = 0) -> Recipe:
    """Check the class and arguments that a file names, without importing anything that is not allowed.

    Args:
        class_path: the class that the file names.
        arguments: arguments of its constructor.
        source: the file, for messages.
        depth: depth of the nested encoder.

    Returns:
        The class and its arguments; nested encoders have passed the gate too.

    Raises:
        ValueError: for a refused name or argument; the message says how to allow the user's code.
    """
    if depth > MAX_NESTING:
        raise ValueError(f"{source}: encoders are nested more than {MAX_NESTING} deep")
    if not isinstance(class_path, str):
        raise ValueError(f"{source}: its class must be an import path, got {quoted(class_path)}")
    kind = _class_of(class_path, source)
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise ValueError(f"{source}: the arguments of {kind.__name__} must be names and values")
    signature, hints = inspect.signature(kind).parameters, _hints(kind)
    passed: dict[str, Any] = {}
    ours = class_path.startswith(f"{OURS}.")
    for name, value in arguments.items():
        if name not in signature:
            raise ValueError(f"{source}: {kind.__name__} has no argument {quoted(name)}")
        if name == RECIPE and isinstance(value, Mapping):
            nested = pass_gate(value.get("class_path"), value.get("init_args", {}), source, depth + 1)
            passed[name] = {"class_path": nested.class_path, "init_args": nested.arguments}
            ours = ours and nested.ours
        elif accepts(hints.get(name, Any), value):
            passed[name] = value
        else:
            raise ValueError(f"{source}: {kind.__name__} cannot take {quoted(value)} as {name}")
    specs = [passed.get(name) for name in NETWORK_ARGUMENTS if passed.get(RECIPE) is None]
    if not INTERPOLATION.fullmatch(str(passed.get(UPSAMPLE))):
        specs.append(passed.get(UPSAMPLE))
    for spec in specs:
        if isinstance(spec, str):
            ours = check_network(spec, source) and ours
    if passed.get("pretrained"):
        passed["pretrained"] = False  # the weights are in the file; a file starts no download
    return Recipe(kind, class_path, passed, ours)


def make(recipe: Recipe, source: str | Path) -> nn.Module:
    """Build the module of a recipe, with fresh weights.

    Raises:
        ValueError: if its constructor refuses the arguments.
    """
    try:
        # a separate context: within LightningCLI, Lightning gives nested modules the arguments of the outer module
        return contextvars.Context().run(recipe.kind, **recipe.arguments)
    except MemoryError:
        raise
    except Exception as error:  # of any type: the arguments in the file are at fault
        kind = recipe.kind.__name__
        raise ValueError(f"{source}: {kind} cannot be made with its arguments: {reason(error)}") from error


def check_fit_of(recipe: Recipe, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that do not fit the module of a recipe, before the module takes any memory.

    A few bytes of arguments can ask for a network of any size, so shapes are compared on the meta device. The user's
    code may not run on it; its size is trusted.

    Raises:
        ValueError: if the constructor refuses the arguments, or the weights do not fit.
    """
    if recipe.ours:
        with torch.device("meta"):
            check_fit(make(recipe, source), state, source)


def load_into(recipe: Recipe, state: Mapping[str, Tensor], source: str | Path) -> nn.Module:
    """Build the module of a recipe and load its weights, which must fit exactly.

    Raises:
        ValueError: if the constructor refuses the arguments, or the weights do not fit.
    """
    check_fit_of(recipe, state, source)
    module = make(recipe, source)
    if not recipe.ours:
        check_fit(module, state, source)
    module.load_state_dict(state)
    return module


def reconcile(saved: Recipe, chosen: Any, path: str | Path) -> None:
    """Copy the encoder's recipe from a checkpoint to a model with the same backbone on the command line, in place.

    A module over an encoder from another checkpoint stores the recipe as `encoder`; a command line names the path.

    Args:
        saved: class and arguments of the checkpoint's module.
        chosen: `class_path` and `init_args`, merged from flags, files and `saved`.
        path: the checkpoint, for the message.

    Raises:
        ValueError: if the command line names another backbone than the checkpoint.
    """
    arguments: MutableMapping[str, Any] = chosen.get("init_args") or {}
    key = next((name for name in NETWORK_ARGUMENTS if name in saved.arguments), "")
    same = str(chosen["class_path"]).rpartition(".")[2] == saved.class_path.rpartition(".")[2]
    if not same or not saved.arguments.get(RECIPE) or RECIPE not in arguments:
        return
    noted = saved.arguments[key]
    if arguments[key] == noted:
        arguments[RECIPE] = saved.arguments[RECIPE]
    elif arguments[RECIPE] is not None:
        raise ValueError(f"--ckpt_path {path} is over {noted}, not over {arguments[key]}: leave out --model.{key}")


def import_path(kind: type) -> str:
    """Return `package.module.Class`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def import_named(module: str, name: str, what: str) -> Any:
    """Import a name that the user gave; the module may lie in the working directory.

    Args:
        module: the module.
        name: a name in it.
        what: what the name stands for, the start of the message.

    Raises:
        ValueError: if the module does not exist, does not have the name, or importing it fails.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # last, to hide nothing; the installed command does not have it
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{what}: cannot import it ({error}); run from its folder, or set PYTHONPATH") from error


def _class_of(class_path: str, source: str | Path) -> type[nn.Module]:
    """Return a class of this project, or a class of the user's if it is allowed."""
    package, _, name = class_path.rpartition(".")
    if class_path.startswith(f"{OURS}."):
        ours = importlib.import_module(OURS)
        if name not in ours.__all__:
            known = ", ".join(ours.__all__)
            raise ValueError(f"{source}: {quoted(class_path)} is not a class of this project ({known})")
        kind: type[nn.Module] = getattr(ours, name)
        return kind
    _require_allowed(class_path, "class", source)
    kind = import_named(package, name, f"{source}: its class {quoted(class_path)}")
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{source}: its class {quoted(class_path)} is not a torch.nn.Module")
    return kind


def check_network(spec: str, source: str | Path) -> bool:
    """Refuse an encoder that a file may not name.

    Args:
        spec: a name for `build_network`.
        source: the file, for messages.

    Returns:
        True if only code of this project, timm and torchvision is involved.

    Raises:
        ValueError: if the name is another file, or code that is not allowed.
    """
    if LIBRARY_NAME.fullmatch(spec) or spec in OWN_NETWORKS:
        return True
    if spec.partition(":")[0] in LIBRARIES:
        raise ValueError(f"{source}: its encoder is {quoted(spec)}, which is not the name of a network of that library")
    if ":" not in spec:
        raise ValueError(f"{source}: its encoder is {quoted(spec)}, another file; a checkpoint holds its encoder")
    _require_allowed(spec, "network", source)
    return False


def _require_allowed(name: str, what: str, source: str | Path) -> None:
    if name not in _allowed:
        flag = f"--allow {quoted(name, quotes=False)}"
        raise ValueError(f"{source}: names the {what} {quoted(name)}, which is not of this project: add {flag}")


def accepts(hint: Any, value: object) -> bool:
    """Return whether pydantic accepts a value for an annotation, conversions included (a list for a tuple).

    Example:
        >>> accepts(tuple[float, float] | None, [1, 2.5]), accepts(int, "one"), accepts(float, float("nan"))
        (True, False, False)
    """
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        TypeAdapter(hint, config=config).validate_python(value)
    except (ValueError, PydanticUserError):
        return False
    return True


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.getattr_static(kind, "__init__"))
    except Exception:  # a user's class may annotate with names that cannot be resolved
        return {}


def reason(error: Exception) -> str:
    """Return the first words of an error on one line, for a message."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def quoted(value: object, quotes: bool = True) -> str:
    """Return a value from a file for a message: short, on a single line, control characters escaped."""
    text = SHORT.repr(value) if quotes or not (isinstance(value, str) and value.isprintable()) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
