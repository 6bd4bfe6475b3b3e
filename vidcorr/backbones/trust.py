"""The gate for the code that a checkpoint names.

A checkpoint is data, but names a class and networks to make. It may name the packages of `TRUSTED`, modules of the
working directory, which are the user's own, and what the user has named: on the command line, by a call in this
process, or by `allow`. Nothing else is imported.
"""

import argparse
import importlib.util
import inspect
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from jsonargparse import set_parsing_settings
from torch import nn

from ..errors import UsageError

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
OF_THE_SHELL = ("pytorch_lightning",)
"""Further packages that the words of a run may name; what their classes call is named in the words too."""
NETWORK = re.compile(r"(torchhub:[^=@]+:\w+|[\w.]+:[\w.]+)(?:@|=|$)")
"""A network by code, `package.module:callable` or by torch.hub, with or without a view or a file of its weights."""
DENIED = re.compile("Importing '([^']+)' is not allowed")
"""What the parser says of an import path that it may not import."""
_allowed: set[str] = set()
_folder_of_user: ContextVar[Path | None] = ContextVar("folder_of_user", default=None)
"""The user's folder while the words of a command come from a file, which names a folder of its own."""


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
    if _folder_of_user.get() is not None:  # the words come from a file
        return
    names = re.findall(r"[\w.]+(?::[\w.]+)?", str(given))
    paths = [name.replace(":", ".") for name in names]
    allow(*names, *paths, *_values_of_allow(given))
    # the parser denies some paths by itself, such as os.system, unless they are named here
    set_parsing_settings(import_path_allowlist=[path for path in paths if "." in path and _is_import_path(path)])


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


def named_in(config: object) -> Iterator[str]:
    """Yield the classes and the networks that a parsed configuration names, as `refuse` takes them."""
    if isinstance(config, Mapping):
        if isinstance(config.get("class_path"), str):
            yield config["class_path"]
        config = list(config.values())
    if isinstance(config, list | tuple):
        for each in config:
            yield from named_in(each)
    elif isinstance(config, str):
        network = NETWORK.match(config)
        if network:
            yield network[1]


def permissions_for(names: Iterable[str]) -> list[str]:
    """Return what a user allows to let names run that are neither ours nor of the libraries."""
    ours = (*TRUSTED, *OF_THE_SHELL)
    return sorted({permission_for(name) for name in names if package_of(name) not in ours})


def refuse(names: Iterable[str], source: str | Path) -> None:
    """Refuse code that a file may not name and the user has not allowed; import nothing.

    Args:
        names: `package.module.Class` or `package.module:callable`.
        source: the file, for messages.

    Raises:
        ValueError: one line with all names that the user would have to allow.
    """
    outside = {name for name in names if not (_is_trusted(package_of(name)) or _is_of_this_script(name))}
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
        raise ValueError(_refusal(source, whole_names(refused, " ")))


def _refusal(source: str | Path, names: str) -> str:
    """Return the message for code that a file may not name."""
    where = "from outside this project and the working directory"
    return (
        f"{source}: names code {where}; if you trust it, add --allow {names} (in Python vidcorr.backbones.trust.allow)"
    )


def permission_for(name: str) -> str:
    """Return what a user allows to let a name run: of `torchhub:OWNER/REPO:ENTRY` the repository, else the name."""
    library, _, place = name.partition(":")
    return place.rpartition(":")[0] if library == "torchhub" else name


def package_of(name: str) -> str:
    """Return the package of `package.module:callable` or `package.module.Class`; the library of `timm:NAME`."""
    return re.split("[.:]", name)[0]


def named_code(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield the class of a model, its networks, and those of its nested encoder."""
    yield str(model.get("class_path"))
    arguments = model.get("init_args") or {}
    nested = arguments.get(NESTED)
    if isinstance(nested, Mapping):
        yield from named_code(nested)
    for argument in NETWORK_ARGUMENTS:
        value = arguments.get(argument)
        if isinstance(value, str) and ":" in value and not nested:  # the nested encoder replaces it
            yield value


def _is_trusted(package: str) -> bool:
    """Return whether a package is among `TRUSTED`, or lies below the user's folder; import nothing.

    An installed package is not trusted for the folder in which it lies. In `words_of_file` the working directory may be
    another folder, which the file names: it is not trusted.
    """
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
    if any(map(file.is_relative_to, installed)):
        return False
    here = Path.cwd()
    user = _folder_of_user.get() or here
    # the file has chosen `here`, a folder below the user's own
    is_in_chosen_folder = here != user and here.is_relative_to(user) and file.is_relative_to(here)
    return file.is_relative_to(user) and not is_in_chosen_folder


@contextmanager
def words_of_file(source: Path) -> Iterator[None]:
    """Within the context the words of a command come from a file, which may name the code that a checkpoint may.

    The parser checks every import path where it imports it, and what it leads to: `vidcorr.signals.os.kill` is not
    ours. `allow_named` allows nothing. Afterwards it allows what the user names; the parser's other settings stay.

    Args:
        source: the file, for messages. Modules in the present working directory are the user's own, also after a
            change to the folder that the file names; they are found before modules in that folder.

    Raises:
        ValueError: one line with the code that the user would have to allow.
    """
    allowed = [*TRUSTED, *OF_THE_SHELL, *_modules_here(), *filter(_is_import_path, _allowed)]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed)
    _search_working_directory()
    token = _folder_of_user.set(Path.cwd())
    try:
        yield
    except UsageError as error:
        denied = DENIED.search(str(error))
        if denied is None:
            raise
        raise ValueError(_refusal(source, denied[1])) from error
    finally:
        _folder_of_user.reset(token)


def _modules_here() -> list[str]:
    """Return the names of modules and packages in the working directory."""
    found = []
    for path in Path.cwd().iterdir():
        has_code = path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
        if has_code and path.stem.isidentifier():
            found.append(path.stem)
    return found


def _is_import_path(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def refuse_networks(config: object, source: Path) -> None:
    """Refuse networks in a parsed configuration, `package.module:callable`, that a checkpoint may not name.

    Args:
        config: the configuration.
        source: the file that the configuration comes from, for messages.

    Raises:
        ValueError: one line with all names that the user would have to allow.
    """
    refuse([name for name in named_in(config) if ":" in name], source)


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
    refuse(named_code(content), source)
    given = own_arguments(arguments)
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
        ValueError: if the module does not exist or does not have the name.
    """
    _search_working_directory()
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
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
