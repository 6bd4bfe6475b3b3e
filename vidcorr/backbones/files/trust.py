"""Names in files: a file may name our methods and the networks of a list; the user's own code is named by the user.

A file holds plain values. Its class is looked up in our list, or it is one that the user has named. The network in its
arguments becomes a listed name without weights (`closed`), before it is made: to make it opens no file and fetches
nothing.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter
from torch import nn

from .listed import SHORT_NAMES, is_listed

LONGEST = 300
TORCHS_ADVICE = re.compile(r"(?: In PyTorch 2\.6|Re-running| Check the documentation)")
CODE = re.compile(r"(?!.*\.(?:bin|ckpt|csv|json|pth?|py|safetensors|tar|ya?ml)$)[\w.]+[.:][\w.]+|transformers:.+")
"""Name of a class or network, `package.module.Class` or `package.module:callable`; no file's."""
NetworkName = str | dict[str, Any]
"""A network as an argument: its name, or the fields of `EncoderSpec.to_dict`, as checkpoints hold them."""
Recipe = dict[str, Any]
"""`class_path` of a class and `init_args` of its constructor, plain types."""
# names of the user's own code, with dots, which a file may name too: of networks made by name, of classes below our
# methods that were imported, in a command's words, its configs, and the configuration of a run that it names
KNOWN: set[str] = set()


class Refused(ValueError):
    """A file names code, or another file, that it may not name."""


def know(*texts: str) -> None:
    """Note all names of code in texts of the user."""
    for text in texts:
        for word in re.split(r"""[\s=@,'"{}\[\]()]+""", text):
            if CODE.fullmatch(word):
                KNOWN.add(word.replace(":", "."))


def refuse(names: Iterable[str], source: str | Path) -> None:
    """Refuse names of a file that are neither in our list nor the user's; import nothing.

    Raises:
        ValueError: the first such name, and three ways to name it.
    """
    for name in names:
        if not is_listed(name) and name.replace(":", ".") not in KNOWN:
            quoted = name[:LONGEST]
            spelt = quoted if ":" in quoted else ":".join(quoted.rsplit(".", 1))
            remedy = f"give {spelt}={source} in its place, or its run's folder; in Python call load_from_checkpoint"
            if quoted.startswith("__main__"):
                remedy = "it was defined in a script or notebook: load it there, or move it to a file, my_module.py"
            raise Refused(f"{source}: names {quoted}, which is not of vidcorr: {remedy}")


def closed(stated: object, source: str | Path) -> Any:
    """Return the network that a file names, as a name or fields by which nothing is opened or fetched.

    Args:
        stated: name of a network, or the fields of `EncoderSpec.to_dict`; None stays None.

    Raises:
        ValueError: for a path, an address, or a name that is neither listed nor the user's.

    Example:
        >>> closed("dino-s16", "own.ckpt"), closed({"spec": "timm:resnet18", "pretrained": True}, "own.ckpt")
        ('timm:vit_small_patch16_224.dino@block12', {'spec': 'timm:resnet18'})
    """
    if stated is None:
        return None
    fields: dict[str, Any] = dict(stated) if isinstance(stated, Mapping) else {"spec": stated}
    text = str(fields.get("spec"))
    name, stage = text, ""
    if text in SHORT_NAMES:
        name, _, stage = SHORT_NAMES[text].partition("@")
    if not re.fullmatch(r"raw_colour|[\w.]+:[\w.-]+|transformers:.+", name):
        what = f"names another file as its encoder, {text[:LONGEST]}"
        raise Refused(f"{source}: {what}; a checkpoint must hold its encoder")
    if ":" in name:
        refuse([name], source)
    if name.replace(":", ".") in KNOWN and not is_listed(name):  # the user's own, as it stands
        return stated
    if not isinstance(stated, Mapping):
        return f"{name}@{stage}" if stage else name
    if stage:
        fields.setdefault("stage", stage)
    if isinstance(fields.get("arguments"), Mapping):
        fields["arguments"] = closed_arguments(None, fields["arguments"], source)
    return {key: value for key, value in fields.items() if key != "pretrained"} | {"spec": name}


def closed_arguments(kind: object, arguments: Mapping[str, object], source: str | Path) -> dict[str, Any]:
    """Return the arguments of a class in a file, with each network `closed`, and without weights of a library.

    A network is the argument `backbone` or `spec`, or one that the class or a base annotates as `NetworkName`.
    """
    networks = {"backbone", "spec"}
    for base in getattr(kind, "__mro__", ()):
        hints = _hints(vars(base).get("__init__"))
        networks |= {name for name, hint in hints.items() if set(get_args(NetworkName)) <= set(get_args(hint))}
    values = dict(arguments)
    for name in networks & values.keys():
        values[name] = closed(values[name], source)
    if "pretrained" in values:
        values["pretrained"] = False
    return values


def package_of(name: str) -> str:
    """Return the package of `package.module:callable` or `package.module.Class`; the library of `timm:NAME`."""
    return re.split("[.:]", name)[0]


def is_module(kind: object) -> bool:
    """Return whether an object is a class derived from `nn.Module`."""
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def named_code(content: object) -> Iterator[str]:
    """Yield the names of classes and networks in a module's recipe or an encoder's fields, allowed or not.

    Example:
        >>> list(named_code({"class_path": "my.Method", "init_args": {"backbone": {"spec": "my:net"}, "lr": 0.1}}))
        ['my.Method', 'my:net']
    """
    if isinstance(content, str) and re.fullmatch(r"[\w.]+[.:][\w.-]+", content):
        yield content
    elif isinstance(content, Mapping):
        for key in ("class_path", "spec", "backbone", "init_args", "arguments"):
            yield from named_code(content.get(key))


def require_small(content: object, source: str | Path, kinds: tuple[type, ...] = (Mapping, list, tuple)) -> None:
    """Refuse content with too many values to walk, such as a list that holds itself, or holds another list many times.

    Args:
        kinds: types of the containers whose members count.

    Raises:
        ValueError: for more than 100 levels, or more than 100,000 values.
    """
    rest: list[tuple[int, Any]] = [(0, content)]
    count = 0
    while rest:
        level, value = rest.pop()
        count += 1
        # values that wait count too, so that a huge container is refused before its members are visited
        if level > 100 or count + len(rest) > 100_000:
            raise ValueError(f"{source}: holds more than 100 levels or 100000 values")
        if isinstance(value, kinds):
            members: Any = value.values() if isinstance(value, Mapping) else value
            rest += [(level + 1, member) for member in members]


def check_recipe(recipe: object, source: str | Path, replaced: Collection[str] = ()) -> Recipe:
    """Return the class and arguments that a file names, without Lightning's own; its networks are `closed`.

    Args:
        replaced: arguments of the file that are left out, since the caller gives others.

    Raises:
        ValueError: if the file may not name the class or a network.
    """
    require_small(recipe, source)
    content: Any = recipe if isinstance(recipe, Mapping) else {}
    class_path = content.get("class_path")
    arguments = content.get("init_args", {})
    if not isinstance(class_path, str) or not isinstance(arguments, Mapping):
        raise ValueError(f"{source}: is damaged: it names no class with arguments")
    refuse([class_path], source)
    package, _, name = class_path.rpartition(".")
    kind = import_named(package, name, f"{source}: its class {class_path}")
    own = {key: value for key, value in own_arguments(arguments).items() if key not in replaced}
    return {"class_path": class_path, "init_args": closed_arguments(kind, own, source)}


def own_arguments(arguments: object) -> dict[str, Any]:
    """Return a constructor's arguments in a file, without those of Lightning (`_…`); {} if `arguments` is no dict."""
    items = arguments.items() if isinstance(arguments, Mapping) else ()
    return {str(name): value for name, value in items if not str(name).startswith("_")}


def make(recipe: object, source: str | Path, **overrides: object) -> Any:
    """Build the module that a file names, with fresh weights, if the file may name its class.

    Args:
        overrides: arguments of the caller, in place of the file's.

    Raises:
        ValueError: if the recipe names code that is not allowed, not there or no module, or the constructor
            refuses the arguments.
    """
    accepted = check_recipe(recipe, source, overrides)
    package, _, name = accepted["class_path"].rpartition(".")
    kind = import_named(package, name, f"{source}: its class {accepted['class_path']}")
    if not is_module(kind):
        raise ValueError(f"{source}: its class {accepted['class_path']} is not a torch.nn.Module")
    return constructed(kind, accepted["init_args"], source, **overrides)


def constructed(kind: Any, arguments: Mapping[str, Any], source: str | Path, **overrides: Any) -> Any:
    """Call a class, or a function that makes a module, with arguments of a file as plain values.

    Args:
        arguments: of the file. Each is converted to its annotated type, for example a dict to a dataclass. A network in
            those of one of our classes, or of a class below it, is `closed`; another class is the user's.
        overrides: arguments of the caller.

    Raises:
        ValueError: if the call fails or gives no module.
    """
    require_small(arguments, source)
    if is_module(kind):
        arguments = without_arguments_of_bases(kind, arguments)
    if any(is_listed(import_path(base)) for base in getattr(kind, "__mro__", ())):
        arguments = closed_arguments(kind, arguments, source)
    name = getattr(kind, "__name__", type(kind).__name__)
    try:  # in a context of its own: within LightningCLI, Lightning gives nested modules the outer module's arguments
        module = Context().run(kind, **as_annotated(kind, {**arguments, **overrides}))
    except Refused:
        raise
    except Exception as error:  # any type, because the arguments in the file are at fault
        raise ValueError(f"{source}: {name} cannot be made: {reason(error)}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{source}: {name} gives a {type(module).__name__}, not a module")
    return module


def _hints(function: object) -> dict[str, Any]:
    with suppress(NameError, TypeError):
        return get_type_hints(function)
    return {}


def as_annotated(kind: object, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return arguments of a class or function, converted by pydantic to the annotated types.

    An argument without annotation, or that does not fit its annotation, stays as it is.

    Example:
        >>> def network(size: tuple[int, int], width: int, other=None): ...
        >>> as_annotated(network, {"size": [3, 4], "width": "wide", "other": "3"})
        {'size': (3, 4), 'width': 'wide', 'other': '3'}
    """
    converted = dict(arguments)
    hints = _hints(getattr(kind, "__init__", kind) if isinstance(kind, type) else kind)
    for name in hints.keys() & arguments.keys():
        with suppress(Exception):  # a type that pydantic does not know, or a wrong value, which the constructor refuses
            converted[name] = TypeAdapter(hints[name]).validate_python(arguments[name])
    return converted


def without_arguments_of_bases(kind: type, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments that the constructor of a class takes: Lightning saves the arguments of its bases too.

    Arguments that neither the class nor a base takes stay, so that the constructor refuses them.

    Example:
        >>> class Own(nn.Conv2d):
        ...     def __init__(self, width: int) -> None: ...
        >>> without_arguments_of_bases(Own, {"width": 8, "stride": 2, "stried": 2})
        {'width': 8, 'stried': 2}
    """
    own = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return dict(arguments)
    of_bases: set[str] = set()
    for base in kind.__mro__[1:]:  # each base's own constructor, not one that it inherits
        of_bases.update(inspect.signature(vars(base).get("__init__", object.__init__)).parameters)
    return {name: value for name, value in arguments.items() if name in own or name not in of_bases}


def import_path(kind: Any) -> str:
    """Return `package.module.Class`, of a class or a function."""
    return f"{kind.__module__}.{kind.__qualname__}"


def import_named(module: str, name: str, what: str) -> Any:
    """Import a name that the user gave; the module may lie in the working directory, which joins `sys.path`.

    Args:
        what: the purpose of the name, which begins the message.

    Raises:
        ValueError: if the module does not exist, does not have the name, or exits when it is imported.
    """
    if "/" in module or module.endswith(".py"):
        remedy = f"name it as a module, {Path(module).stem}:{name}, from its folder"
        raise ValueError(f"{what}: {module} is a path: {remedy}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        # at the end, to hide no other module; the installed command lacks the folder
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except SystemExit as error:
        remedy = 'put what it runs below if __name__ == "__main__":'
        raise ValueError(f"{what}: cannot import {module}, which parses arguments or exits: {remedy}") from error
    except (ImportError, ValueError, AttributeError) as error:
        # perhaps another module than the user's file of this name
        remedy = f"run from its folder, or set PYTHONPATH; {sys.modules.get(module, 'no module')} was imported"
        raise ValueError(f"{what}: cannot import it ({error}); {remedy}") from error


def reason(error: BaseException) -> str:
    """Return an error's text on one line of at most `LONGEST` characters, without torch's advice; else its type."""
    line = " ".join(str(error).split())
    said = line.rpartition("WeightsUnpickler error: ")[2]
    return TORCHS_ADVICE.split(said)[0].rstrip()[:LONGEST] or type(error).__name__
