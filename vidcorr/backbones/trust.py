"""The gate for the code that a checkpoint names.

A checkpoint is data, but names classes and networks to make. It may name the packages of `TRUSTED`; modules below the
working directory, which are the user's own, but for those that came with the checkpoint, in its folder or below; and
what the user has named: in words or configs, by a call in this process, or by `allow`. Nothing else is imported.
"""

import argparse
import importlib.util
import inspect
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import Context
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]
from torch import nn

TRUSTED = ("vidcorr", "timm", "torchvision", "transformers")
"""Names before a dot or a colon that every checkpoint may hold."""
NETWORK_ARGUMENTS = ("spec", "backbone")
"""Arguments that name an encoder."""
NESTED = "encoder"
"""The argument that holds a nested recipe."""
SCRIPT = "__main__"
"""Module of a script or notebook."""
LONGEST = 300
"""Most letters of names from a file in a message."""
Recipe = dict[str, Any]
"""`class_path` of a class and `init_args` of its constructor, plain types."""
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
"""A text that a parser may take as a class or function, `package.module.Class`."""
# fmt: off
DATA_SUFFIXES = frozenset({
    "avi", "ckpt", "csv", "h5", "jpeg", "jpg", "json", "log", "mkv", "mov", "mp4", "npy", "npz", "pickle", "pkl", "png",
    "pt", "pth", "safetensors", "tar", "txt", "webm", "yaml", "yml", "zip",
})
# fmt: on
"""Last parts of the names of files, `train.csv`, which look like import paths."""
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
"""Files that a parser reads in place of a value."""
_allowed: set[str] = set()


def allow(*names: str) -> None:
    """Allow files to name code of other installed packages.

    Args:
        names: `package.module.Class` or `package.module:callable`, exactly as in the files; of torch.hub `OWNER/REPO`,
            or the folder of a clone.
    """
    _allowed.update(names)


def allow_named(given: object) -> None:
    """Allow files to name the code that a user's arguments name.

    Args:
        given: words of a command line, and contents of its configs; every name in their text is allowed
            (`--model=my_methods.Mine`, `my_networks:small`, also within JSON). A class is `module:Class` in the words
            and `module.Class` in a file.
    """
    names = re.findall(r"[\w.]+(?::[\w.]+)?", str(given))
    paths = [name.replace(":", ".") for name in names]
    allow(*names, *paths, *_values_of_allow(given))


def _values_of_allow(given: object) -> list[str]:
    """Return the values of `allow` in a config or of `--allow` in words, which may have slashes, as OWNER/REPO."""
    if isinstance(given, Mapping):
        stated = given.get("allow") or []
        return [stated] if isinstance(stated, str) else list(stated)
    if not isinstance(given, Sequence):
        return []
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--allow", nargs="*", action="extend", default=[])
    flags, _ = parser.parse_known_args([str(word) for word in given])
    return list(flags.allow)


def refuse(names: Iterable[str], source: str | Path) -> None:
    """Refuse code that a file may not name and the user has not allowed; import nothing.

    Args:
        names: `package.module.Class` or `package.module:callable`.
        source: the file, for messages.

    Raises:
        ValueError: one line with all names that the user would have to allow.
    """
    outside = {name for name in names if not (_is_trusted(name, source) or _is_of_this_script(name))}
    refused = sorted({permission_for(name) for name in outside} - _allowed)
    for name in outside.intersection(refused):  # not torch.hub's entries, whose permission is the repository
        package = package_of(name)
        if package == SCRIPT:
            remedy = "load it there, or move the class to a file, my_module.py, and train my_module.MyClass"
            raise ValueError(f"{source}: its class {name[:LONGEST]} was defined in a script or notebook: {remedy}")
        if package.isidentifier() and importlib.util.find_spec(package) is None:
            remedy = f"run from the folder that holds {package}, or set PYTHONPATH to it"
            raise ValueError(f"{source}: names {name[:LONGEST]}, which cannot be imported here: {remedy}")
    if refused:
        names = whole_names(refused, " ")
        raise ValueError(
            f"{source}: names code from outside this project and the working directory, or code that lies beside it; "
            f"if you trust it, add --allow {names} (in Python vidcorr.backbones.trust.allow)"
        )


def permission_for(name: str) -> str:
    """Return what a user allows to let a name run: of `torchhub:OWNER/REPO:ENTRY` the repository, else the name."""
    library, _, place = name.partition(":")
    return place.rpartition(":")[0] if library == "torchhub" else name


def package_of(name: str) -> str:
    """Return the package of `package.module:callable` or `package.module.Class`; the library of `timm:NAME`."""
    return re.split("[.:]", name)[0]


def named_code(content: object, source: str | Path) -> Iterator[str]:
    """Yield the code that a recipe names: its class, its networks, and those of all that its arguments hold.

    A text counts if a parser could import it, or read it as YAML or as a config that came with the checkpoint.

    Args:
        content: the recipe, or a value in it.
        source: the checkpoint.
    """
    if isinstance(content, Mapping):
        values = dict(content)
        if "class_path" in values:
            yield str(values.pop("class_path"))
        replaced = NETWORK_ARGUMENTS if isinstance(values.get(NESTED), Mapping) else ()  # by the nested encoder
        for name, value in values.items():
            if name not in NETWORK_ARGUMENTS or not isinstance(value, str):
                yield from named_code(value, source)
            elif ":" in value and name not in replaced:
                yield value
    elif isinstance(content, list | tuple):
        for each in content:
            yield from named_code(each, source)
    elif isinstance(content, str):
        yield from _code_in_text(content, source)


def _code_in_text(text: str, source: str | Path) -> Iterator[str]:
    """Yield the code that a text names: itself, or what it holds as YAML."""
    is_import = IMPORT_PATH.fullmatch(text) is not None and _can_be_found(package_of(text))
    is_of_data = text.rpartition(".")[2] in DATA_SUFFIXES and not _has_package_beside(text, source)
    is_config = text.endswith(CONFIG_SUFFIXES) and _came_with(text, source)
    if (is_import and not is_of_data) or is_config:
        yield text
    elif any(mark in text for mark in ":[{"):
        try:
            content = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # no parser reads it either
            return
        if not isinstance(content, str):
            yield from named_code(content, source)


def _can_be_found(package: str) -> bool:
    """Return whether Python could import a package; it is not imported."""
    _search_working_directory()
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _has_package_beside(name: str, source: str | Path) -> bool:
    """Return whether the package of an import path came with a checkpoint."""
    found = PathFinder.find_spec(package_of(name))
    return found is not None and _lies_beside(found, source)


def _lies_beside(module: ModuleSpec, source: str | Path) -> bool:
    """Return whether a module that Python has found, or a folder of a namespace, came with a checkpoint."""
    places = [module.origin] if module.origin else list(module.submodule_search_locations or [])
    return any(_is_beside(place, source) for place in places)


def _came_with(path: str | Path, source: str | Path) -> bool:
    """Return whether a file lies in the folder of a checkpoint or below, unless that is the working directory."""
    try:
        return Path(path).is_file() and _is_beside(path, source)
    except (OSError, ValueError):  # a text that is no path
        return False


def _is_beside(path: str | Path, source: str | Path) -> bool:
    """Return whether a path is the folder of a checkpoint or lies in it, unless that is the working directory."""
    place = Path(path).resolve()
    for folder in (Path(source).resolve().parent, Path(source).parent.resolve()):  # of the file, and of a link to it
        if folder != Path.cwd() and place.is_relative_to(folder):
            return True
    return False


def _is_trusted(name: str, source: str | Path) -> bool:
    """Return whether a name is of `TRUSTED`, or of the user's own code for a checkpoint; import nothing.

    An installed package is not the user's for the folder in which it lies, nor is what came with the checkpoint, also
    where that lies below a package of the user's.
    """
    package, *parts = re.split("[.:]", name)
    if package in TRUSTED:
        return True
    if package == SCRIPT or not package.isidentifier():  # a script is decided by name
        return False
    _search_working_directory()
    found = PathFinder.find_spec(package)
    if found is None or not found.has_location:
        return False
    file = Path(str(found.origin)).resolve()
    installed = (sys.prefix, sys.base_prefix, site.getusersitepackages())
    if any(map(file.is_relative_to, installed)) or _came_with(file, source):
        return False
    for part in parts:  # the modules below it, which Python would import next
        found = PathFinder.find_spec(part, found.submodule_search_locations or [])
        if found is None:
            break
        if _lies_beside(found, source):
            return False
    return file.is_relative_to(Path.cwd())


def _is_of_this_script(name: str) -> bool:
    """Return whether a class or function was defined in the script or notebook that runs."""
    package, *parts = re.split("[.:]", name)
    if package != SCRIPT or len(parts) != 1:
        return False
    found = getattr(sys.modules[SCRIPT], parts[0], None)
    return getattr(found, "__module__", None) == SCRIPT  # not what it imports


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
    given = own_arguments(arguments)
    refuse(named_code({"class_path": class_path, "init_args": given}, source), source)
    for name in NETWORK_ARGUMENTS:
        spec = given.get(name)
        is_file = isinstance(spec, str) and ":" not in spec and spec != "raw_colour"
        if is_file and given.get(NESTED) is None:
            raise ValueError(f"{source}: names another file as its encoder, {spec}; a checkpoint must hold its encoder")
    return {"class_path": class_path, "init_args": given}


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
    package, _, name = accepted["class_path"].rpartition(".")
    kind = import_named(package, name, f"{source}: its class {accepted['class_path']}")
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{source}: its class {accepted['class_path']} is not a torch.nn.Module")
    return constructed(kind, accepted["init_args"] | overrides, source)


def makes_networks(kind: Any) -> bool:
    """Return whether this is a class of modules, or a function that is declared to return one."""
    if isinstance(kind, type):
        return issubclass(kind, nn.Module)
    try:
        made = get_type_hints(kind).get("return")
    except (NameError, TypeError):  # no function, or with types that it does not import
        return False
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
        found = importlib.import_module(module)
    except SystemExit as error:
        remedy = 'put what it runs below if __name__ == "__main__":'
        raise ValueError(f"{what}: cannot import {module}, which parses arguments or exits: {remedy}") from error
    except (ImportError, ValueError) as error:
        raise ValueError(f"{what}: cannot import it ({error}); run from its folder, or set PYTHONPATH") from error
    file = Path(getattr(found, "__file__", None) or "built-in")
    hides_own = not file.is_relative_to(Path.cwd()) and Path(f"{module}.py").is_file()
    if hides_own and not hasattr(found, name):
        raise ValueError(f"{what}: another module, {file}, hides your {module}.py: give your file another name")
    try:
        return getattr(found, name)
    except AttributeError as error:
        raise ValueError(f"{what}: cannot import it ({error}); run from its folder, or set PYTHONPATH") from error


def _search_working_directory() -> None:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # at the end, to hide no other module; the installed command lacks the folder


def whole_names(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names of a list for a message, each whole, and the number of the others."""
    given = list(names)
    shown: list[str] = []
    for name in given:
        if shown and len(between.join([*shown, name])) > LONGEST:
            break
        shown.append(name[:LONGEST])
    others = len(given) - len(shown)
    return between.join(shown) + (f" and {others} more" if others else "")


def reason(error: BaseException) -> str:
    """Return the first words of an error on one line, for a message."""
    text = str(error).rpartition("WeightsUnpickler error: ")[2]  # torch's advice to run the code of a file comes before
    return " ".join(text.split())[:LONGEST] or type(error).__name__
