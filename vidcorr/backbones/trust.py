"""The gate for the code that a checkpoint names.

A checkpoint is data, but names classes and networks to make. It may name the packages of `TRUSTED`; modules below the
working directory, which are the user's own, but for those that came with the checkpoint, in its folder or below; and
what the user has named: in words or configs, by a call in this process, or by `allow`. Nothing else is imported.
"""

import argparse
import importlib
import inspect
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from importlib.machinery import PathFinder
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

TRUSTED = ("vidcorr", "timm", "torchvision", "transformers")
"""Names before a dot or a colon that every checkpoint may hold."""
LIBRARIES = ("timm", "torchvision", "transformers")
"""Names before the colon of `timm:NAME` and its like, which are no modules."""
NETWORK_ARGUMENTS = ("spec", "backbone")
"""Arguments that name an encoder."""
NESTED = "encoder"
"""The argument that holds a nested recipe."""
TORCH_HUB = "torchhub"
"""Prefix of networks of torch.hub, `torchhub:OWNER/REPO:ENTRY`."""
SCRIPT = "__main__"
"""Module of a script or notebook."""
LONGEST = 300
"""Most letters of a file's names, or of a line from it, in a message."""
Recipe = dict[str, Any]
"""`class_path` of a class and `init_args` of its constructor, plain types."""
WORD = re.compile(r"[\w+-]*")
"""A text that no parser imports, nor reads as YAML or as the path of a config of another folder."""
PLAIN = (str, int, float, bool, dict, Path, type(None), ...)
"""Annotations of arguments whose texts a parser leaves as they are, or reads as data."""
UNTYPED = (Any, inspect.Parameter.empty)
"""Annotations of arguments in whose texts a parser looks for a `class_path` alone."""
_allowed: set[str] = set()


def allow(*names: str) -> None:
    """Allow files to name code of other installed packages.

    Args:
        names: `package.module.Class` or `package.module:callable`, exactly as in the files; of torch.hub `OWNER/REPO`,
            or the folder of a clone.
    """
    _allowed.update(names)


def allow_named(words: Sequence[str]) -> None:
    """Allow files to name the code that a user's words name.

    Args:
        words: words of a command line, or the text of a config; every name in them is allowed
            (`--model=my_methods.Mine`, `my_networks:small`, also within JSON), and the values of `--allow`, which may
            have slashes, as OWNER/REPO. A class is `module:Class` in the words and `module.Class` in a file.
    """
    names = re.findall(r"[\w.]+(?::[\w.]+)?", " ".join(words))
    paths = [name.replace(":", ".") for name in names]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--allow", nargs="*", action="extend", default=[])
    flags, _ = parser.parse_known_args(words)
    allow(*names, *paths, *flags.allow)


def refuse(names: Iterable[str], source: str | Path) -> None:
    """Refuse code that a file may not name and the user has not allowed; import nothing.

    Args:
        names: `package.module.Class` or `package.module:callable`.
        source: the file, for messages.

    Raises:
        ValueError: one line with all names that the user would have to allow.
    """
    outside = {permission_for(name) for name in names if not _is_trusted(name, source)}
    refused = sorted(outside - _allowed)
    if not refused:
        return
    for name in refused:
        if package_of(name) == SCRIPT:
            remedy = "load it there, or move the class to a file, my_module.py, and train my_module.MyClass"
            raise ValueError(f"{source}: its class {name[:LONGEST]} was defined in a script or notebook: {remedy}")
    raise ValueError(
        f"{source}: names code from outside this project and the working directory, or code that lies beside it; "
        "if it is yours, run from its folder; "
        f"if you trust it, add --allow {' '.join(refused)[:LONGEST]} (in Python vidcorr.backbones.trust.allow)"
    )


def permission_for(name: str) -> str:
    """Return what a user allows to let a name run: of `torchhub:OWNER/REPO:ENTRY` the repository, else the name."""
    library, _, place = name.partition(":")
    return place.rpartition(":")[0] if library == TORCH_HUB else name


def package_of(name: str) -> str:
    """Return the package of `package.module:callable` or `package.module.Class`; the library of `timm:NAME`."""
    return re.split("[.:]", name)[0]


def named_code(content: object, with_texts: bool = False) -> Iterator[str]:
    """Yield the code that a recipe names: its class, its networks, and those of all that its arguments hold.

    Args:
        content: the recipe, or a value in it.
        with_texts: also each text that is more than a word, for values that a parser reads.
    """
    if isinstance(content, Mapping):
        replaced = NETWORK_ARGUMENTS if isinstance(content.get(NESTED), Mapping) else ()  # by the nested encoder
        for name, value in content.items():
            is_network = name in NETWORK_ARGUMENTS and isinstance(value, str)
            if name == "class_path" or (is_network and ":" in value and name not in replaced):
                yield str(value)
            else:
                yield from named_code(value, with_texts)
    elif isinstance(content, list | tuple):
        for each in content:
            yield from named_code(each, with_texts)
    elif with_texts and isinstance(content, str) and WORD.fullmatch(content) is None:
        yield content


def _is_trusted(name: str, source: str | Path) -> bool:
    """Return whether a name is of `TRUSTED`, or of the user's own code for a checkpoint; import nothing of others.

    Of the functions of `TRUSTED` those are trusted that make networks.
    """
    package = package_of(name)
    module, _, function = name.partition(":")
    if package in TRUSTED:
        return not function or module in LIBRARIES or makes_networks(import_named(module, function, str(source)))
    if package == SCRIPT:  # a class that the script or notebook that runs has defined, not imported
        found = vars(sys.modules[SCRIPT]).get(name[len(SCRIPT) + 1 :])
        return getattr(found, "__module__", None) == SCRIPT
    _search_working_directory()
    places = list(_places_of(name))
    return module != TORCH_HUB and places != [] and all(_is_the_users(place, source) for place in places)


def _places_of(name: str) -> Iterator[str]:
    """Yield the places of the modules that Python would import for a name, one below the other; import nothing."""
    locations: Sequence[str] | None = None
    for part in re.split("[.:]", name):
        found = PathFinder.find_spec(part, locations)
        if found is None:
            return
        locations = found.submodule_search_locations or []
        yield from [found.origin] if found.origin else locations


def _is_the_users(place: str, source: str | Path) -> bool:
    """Return whether a place lies below the working directory, neither installed there nor come with a checkpoint."""
    own = Path.cwd()
    with_checkpoint = {Path(source).resolve().parent, Path(source).parent.resolve()}  # of the file, and of a link to it
    others: list[str | Path] = [sys.prefix, sys.base_prefix, site.getusersitepackages(), *(with_checkpoint - {own})]
    path = Path(place).resolve()
    return path.is_relative_to(own) and not any(path.is_relative_to(other) for other in others)


def check_names(recipe: object, source: str | Path) -> Recipe:
    """Check the class and arguments that a file names, and import nothing.

    Args:
        recipe: `class_path`, and `init_args` of its constructor.
        source: the file, for messages.

    Returns:
        The recipe, without Lightning's own arguments.

    Raises:
        ValueError: one line with all names that the user would have to allow.
    """
    content: Any = recipe if isinstance(recipe, Mapping) else {}
    class_path = content.get("class_path")
    arguments = content.get("init_args", {})
    if not isinstance(class_path, str) or not isinstance(arguments, Mapping):
        raise ValueError(f"{source}: is damaged: it names no class with arguments")
    own = own_arguments(arguments)
    accepted = {"class_path": class_path, "init_args": own}
    refuse(named_code(accepted), source)
    for name in NETWORK_ARGUMENTS:
        spec = str(own.get(name) or "raw_colour")
        if ":" not in spec and spec != "raw_colour" and own.get(NESTED) is None:
            raise ValueError(f"{source}: names another file as its encoder, {spec}; a checkpoint must hold its encoder")
    return accepted


def own_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, without those that Lightning adds."""
    return {str(name): value for name, value in arguments.items() if not str(name).startswith("_")}


def make(recipe: object, source: str | Path, **overrides: Any) -> Any:
    """Check what a file names, import the class if it is allowed, and build the module with fresh weights.

    Args:
        recipe: `class_path`, and `init_args` of its constructor.
        source: the file, for messages.
        overrides: arguments of the caller, which override those of the file.

    Raises:
        ValueError: if the recipe names code that is not allowed, or the constructor refuses the arguments.
    """
    accepted = check_names(recipe, source)
    return constructed(_class_of(accepted, source), accepted["init_args"] | overrides, source)


def _class_of(recipe: Recipe, source: str | Path) -> type[nn.Module]:
    """Import the class of a recipe whose names are allowed."""
    package, _, name = recipe["class_path"].rpartition(".")
    kind = import_named(package, name, f"{source}: its class {recipe['class_path']}")
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{source}: its class {recipe['class_path']} is not a torch.nn.Module")
    return kind


def check_texts(recipe: Recipe, source: str | Path) -> None:
    """Check the texts of a recipe that a parser reads, whose names are allowed; import its class.

    A parser may import a text, or read YAML or a config in it, unless the argument is annotated as a text or a number.

    Raises:
        ValueError: one line with all texts that the user would have to allow.
    """
    hints: dict[str, Any] = {}
    for base in reversed(_class_of(recipe, source).__mro__):
        constructor = vars(base).get("__init__", object.__init__)
        typed = hints_of(constructor)
        for name, parameter in inspect.signature(constructor).parameters.items():
            hints[name] = typed.get(name, parameter.annotation)
    for name, value in recipe["init_args"].items():
        hint = hints.get(name)
        is_data = hint in UNTYPED and re.search(r"class_path|\\", str(value)) is None
        if not (is_data or is_plain(hint)):
            refuse(named_code(value, with_texts=True), source)


def is_plain(hint: Any) -> bool:
    """Return whether an annotation is one of `PLAIN`, or made of such alone."""
    origin = get_origin(hint)
    if origin in (Union, UnionType, list, tuple):
        return all(map(is_plain, get_args(hint)))
    return origin is Literal or any(hint is each for each in PLAIN)


def hints_of(function: Any) -> dict[str, Any]:
    """Return the annotations of a function; none if it has types that it does not import."""
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # or is no function
        return {}


def makes_networks(kind: Any) -> bool:
    """Return whether this is a class of modules, or a function that is declared to return one."""
    made = hints_of(kind).get("return", kind)
    return isinstance(made, type) and issubclass(made, nn.Module)


def constructed(kind: Any, arguments: Mapping[str, Any], source: str | Path) -> Any:
    """Call a class, or a function that makes a module, with arguments of a file.

    Raises:
        ValueError: if the call fails or gives no module.
    """
    name = getattr(kind, "__name__", type(kind).__name__)
    if isinstance(kind, type) and issubclass(kind, nn.Module):
        arguments = without_arguments_of_bases(kind, arguments)
    try:
        # a separate context: within LightningCLI, Lightning gives nested modules the arguments of the outer module
        module = Context().run(kind, **arguments)
    except Exception as error:  # any type, because the arguments in the file are at fault
        raise ValueError(f"{source}: {name} cannot be made: {reason(error)}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{source}: {name} gives a {type(module).__name__}, not a module")
    return module


def without_arguments_of_bases(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a class, without those that only its bases take: Lightning saves these too."""
    own = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):  # it passes others on to its bases
        return dict(arguments)
    of_bases: set[str] = set()
    for base in kind.__mro__[1:]:
        of_bases.update(inspect.signature(vars(base).get("__init__", object.__init__)).parameters)
    return {name: value for name, value in arguments.items() if name in own or name not in of_bases}


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
        ValueError: if the module does not exist, does not have the name, or exits when it is imported.
    """
    if "/" in module:
        raise ValueError(
            f"{what}: {module} is a path: name it as a module, {Path(module).stem}:{name}, from its folder"
        )
    _search_working_directory()
    try:
        return getattr(importlib.import_module(module), name)
    except SystemExit as error:
        remedy = 'put what it runs below if __name__ == "__main__":'
        raise ValueError(f"{what}: cannot import {module}, which parses arguments or exits: {remedy}") from error
    except (ImportError, ValueError, AttributeError) as error:
        # perhaps another module than the user's file of this name
        remedy = f"run from its folder, or set PYTHONPATH; {sys.modules.get(module, 'no module')} was imported"
        raise ValueError(f"{what}: cannot import it ({error}); {remedy}") from error


def _search_working_directory() -> None:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # at the end, to hide no other module; the installed command lacks the folder


def reason(error: BaseException) -> str:
    """Return the first words of an error on one line, for a message."""
    text = str(error).rpartition("WeightsUnpickler error: ")[2]  # torch's advice to run the code of a file comes before
    return " ".join(text.split())[:LONGEST] or type(error).__name__
