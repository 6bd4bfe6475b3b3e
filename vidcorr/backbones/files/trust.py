"""The gate for code that a file names.

`listed` has what a file may name. Any other name runs only if the user has said it: in the words of the command, a
config or a run folder that they name; by `--allow` or `vidcorr.allow`; or as a class in the namespace of the user's own
script. A module of a file is built from plain values by its class; while it is built, no file is opened, and nothing is
fetched.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter
from torch import nn

from .listed import is_listed, leaves_in

TORCH_HUB = "torchhub"
"""Prefix of networks of torch.hub, `torchhub:OWNER/REPO:ENTRY`."""
SCRIPT = "__main__"
"""Module of a script or notebook."""
LONGEST = 300
"""Most characters of a file's content that a message quotes."""
WITH_PLACE = r"torchhub:[^=]+|[\w.]+:[\w.-]+"
"""Form of a network's name with its library, module or repository: neither a path nor an address of a file."""
MOST_LEVELS = 100
MOST_LEAVES = 100_000
TORCHS_ADVICE = re.compile(r"(?: In PyTorch 2\.6|Re-running| Check the documentation)")
"""Beginning of torch's advice to run the code of a file."""
Recipe = dict[str, Any]
"""`class_path` of a class and `init_args` of its constructor, plain types."""
_allowed: set[str] = set()
"""Names that a script, or the user's own run, allows for the length of the process."""
_named: set[str] = set()
"""Names in the words of this command and the configs that they name."""


class Refused(ValueError):
    """A file names code, or another file, that it may not name."""


class _Source(NamedTuple):
    """The file whose module is being built.

    Attributes:
        file: the file.
        texts: texts in the file's arguments. A network whose name is among them counts as named by the file; another
            network, as named by the user's code, which the user has allowed. None: all networks count as named by the
            file, because a class of vidcorr makes only networks that its arguments name.
    """

    file: str
    texts: frozenset[str] | None

    def states(self, text: str) -> bool:
        """Return whether the file names the network of this text."""
        return self.texts is None or text in self.texts


_built_from: ContextVar[_Source | None] = ContextVar("_built_from", default=None)
"""The file whose module is being built now; None at any other time."""


def allow(*names: str | Callable[..., Any]) -> None:
    """Allow files to name further code, in this process.

    Args:
        names: a class, or a function that makes a network; or its name as in the files, `package.module.Class` or
            `package.module:callable`; of torch.hub `OWNER/REPO`, or the folder of a clone.

    Example:
        >>> import torchvision
        >>> allow(torchvision.models.resnet18)
    """
    for name in names:
        if isinstance(name, str):
            _allowed.add(name)
        else:
            # files name a class with a dot, a maker of networks with a colon
            _allowed.update((import_path(name), f"{name.__module__}:{name.__qualname__}"))


def begin_command(words: Sequence[str]) -> None:
    """Forget the words of an earlier command of this process, and allow the code that this command's words name."""
    _named.clear()
    allow_named(words)


def allow_named(words: Sequence[str]) -> None:
    """Allow files to name the code that a user's words name.

    Args:
        words: words of a command line, or the text of a config. Every name in them is allowed, as in
            `--model=my_methods.Mine`, `my_networks:small` or JSON; so are the values of `--allow`, which may have
            slashes, as OWNER/REPO. `module:Class` in the words also allows `module.Class` in a file.

    Example:
        >>> allow_named(["evaluate", "--model=my_methods:Mine", "--allow", "me/repo"])
        >>> to_allow(["my_methods.Mine", "torchhub:me/repo:small", "others.Theirs"])
        ['others.Theirs']
        >>> begin_command([])
    """
    is_permission = False
    for word in words:
        flag, _, value = word.partition("=")
        if word.startswith("--"):  # `--allow` takes all words up to the next flag
            is_permission = flag == "--allow"
        if is_permission:
            _named.add(value or word)
        for name in re.split(r"""[\s=@,'"{}\[\]()]+""", word):
            if re.fullmatch(r"[\w.]+(:[\w.]+)?", name):
                _named.update((name, name.replace(":", ".")))


def refuse(names: Iterable[str], source: str | Path) -> None:
    """Refuse code that a file may not name; import nothing.

    Args:
        names: `package.module.Class`, `package.module:callable`, or a network of a library, `timm:NAME`.
        source: the file, for messages.

    Raises:
        ValueError: all names that the user would have to allow, in a line.

    Example:
        >>> refuse(["timm:resnet18", "vidcorr.lightning_modules.VFSSimSiam"], "own.ckpt")
        >>> refuse(["my_methods.Mine", "torchhub:me/repo:small"], "own.ckpt")
        Traceback (most recent call last):
            ...
        vidcorr.backbones.files.trust.Refused: own.ckpt: names code that is not in vidcorr's list; if you trust it, ...
        >>> refuse(["__main__.Net"], "own.ckpt")
        Traceback (most recent call last):
            ...
        vidcorr.backbones.files.trust.Refused: own.ckpt: its class __main__.Net was defined in a script or notebook: ...
    """
    refused = to_allow(names)
    of_scripts = [name for name in refused if package_of(name) == SCRIPT]
    if of_scripts:
        remedy = "load it there, or move the class to a file, my_module.py, and train my_module.MyClass"
        raise Refused(f"{source}: its class {of_scripts[0][:LONGEST]} was defined in a script or notebook: {remedy}")
    if refused:
        quoted = ", ".join(map(repr, refused))[:LONGEST]
        raise Refused(
            f"{source}: names code that is not in vidcorr's list; if you trust it, call vidcorr.allow({quoted}) in "
            f"Python, or add to the command --allow {' '.join(refused)[:LONGEST]}"
        )


def to_allow(names: Iterable[str]) -> list[str]:
    """Return the values that the user must give to `--allow` before a file may use these names, sorted.

    Names that need no permission are left out: names in the list, names that the user has said, and classes that the
    user's script holds.

    Example:
        >>> to_allow(["timm:resnet18", "my_methods.Mine", "torchhub:me/repo:small"])
        ['me/repo', 'my_methods.Mine']
    """
    needed: set[str] = set()
    for name in names:
        library, _, place = name.partition(":")
        word = place.rpartition(":")[0] if library == TORCH_HUB else name  # a repository is allowed with all entries
        # _allowed: by `allow`; _named: in the words of the command
        if not (is_listed(name) or word in _allowed | _named or _is_of_script(name)):
            needed.add(word)
    return sorted(needed)


def package_of(name: str) -> str:
    """Return the package of `package.module:callable` or `package.module.Class`; the library of `timm:NAME`.

    Example:
        >>> package_of("timm:resnet18"), package_of("my_methods.own.Mine")
        ('timm', 'my_methods')
    """
    return re.split("[.:]", name)[0]


def _is_of_script(name: str) -> bool:
    """Return whether `__main__`, the user's script or notebook, holds the `nn.Module` class of this name.

    In a command `__main__` is vidcorr's own file, which holds no such class.
    """
    path = name.replace(":", ".")
    return any(is_module(kind) and import_path(kind) == path for kind in vars(sys.modules[SCRIPT]).values())


def is_module(kind: object) -> bool:
    """Return whether an object is a class derived from `nn.Module`."""
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def named_code(content: object) -> Iterator[str]:
    """Yield the names of classes and networks in a module's recipe or an encoder's fields, allowed or not.

    Args:
        content: `class_path` and `init_args` of a module; `spec` and `arguments` of an encoder; or a network's name.

    Example:
        >>> list(named_code({"class_path": "my.Method", "init_args": {"backbone": {"spec": "my:net"}, "lr": 0.1}}))
        ['my.Method', 'my:net']
        >>> list(named_code({"spec": "my:Module", "arguments": {"backbone": "timm:resnet18"}}))
        ['my:Module', 'timm:resnet18']
        >>> list(named_code("torchhub:me/repo:net")), list(named_code("raw_colour"))
        (['torchhub:me/repo:net'], [])
    """
    if isinstance(content, str) and re.fullmatch(WITH_PLACE, content):
        yield content
    if not isinstance(content, Mapping):
        return
    if "class_path" in content:
        yield str(content["class_path"])
    # a network is named by an encoder's `spec`, or by the arguments `spec` and `backbone`, as a text or as such content
    arguments = content.get("init_args", content.get("arguments"))
    inner = arguments if isinstance(arguments, Mapping) else {}
    for each in (content.get("spec"), inner.get("spec"), inner.get("backbone")):
        yield from named_code(each)


def require_small(content: object, source: str | Path, kinds: tuple[type, ...] = (Mapping, list, tuple)) -> None:
    """Refuse content with too many values to walk, such as a list that holds itself, or holds another list many times.

    Args:
        content: content of a file.
        source: the file, for messages.
        kinds: types of the containers whose members count.

    Raises:
        ValueError: for more than 100 levels, or more than 100,000 values.

    Example:
        >>> require_small({"layers": [3, [4, 5]]}, "own.ckpt")
        >>> endless = []
        >>> endless.append(endless)
        >>> require_small(endless, "own.ckpt")
        Traceback (most recent call last):
            ...
        ValueError: own.ckpt: holds more than 100 levels or 100000 values
    """
    rest: list[tuple[int, Any]] = [(0, content)]  # values still to visit, with their levels
    count = 0
    while rest:
        level, value = rest.pop()
        count += 1
        # values that wait count too, so that a huge container is refused before its members are visited
        if level > MOST_LEVELS or count + len(rest) > MOST_LEAVES:
            raise ValueError(f"{source}: holds more than {MOST_LEVELS} levels or {MOST_LEAVES} values")
        if isinstance(value, kinds):
            members: Any = value.values() if isinstance(value, Mapping) else value
            rest += [(level + 1, member) for member in members]


def check_recipe(recipe: object, source: str | Path) -> Recipe:
    """Return the class and arguments that a file names, if it may name this class and the networks in the arguments.

    Args:
        recipe: `class_path`, and `init_args` of its constructor.
        source: the file, for messages.

    Returns:
        The recipe, without the arguments that Lightning adds.

    Raises:
        ValueError: if the file may not name the class.

    Example:
        >>> recipe = {"class_path": "vidcorr.lightning_modules.Liir", "init_args": {"radius": 6, "_class_path": "…"}}
        >>> check_recipe(recipe, "own.ckpt")
        {'class_path': 'vidcorr.lightning_modules.Liir', 'init_args': {'radius': 6}}
        >>> check_recipe({"class_path": ["vidcorr.lightning_modules.Liir"]}, "own.ckpt")
        Traceback (most recent call last):
            ...
        ValueError: own.ckpt: is damaged: it names no class with arguments
    """
    require_small(recipe, source)
    content: Any = recipe if isinstance(recipe, Mapping) else {}
    class_path = content.get("class_path")
    arguments = content.get("init_args", {})
    if not isinstance(class_path, str) or not isinstance(arguments, Mapping):
        raise ValueError(f"{source}: is damaged: it names no class with arguments")
    accepted = {"class_path": class_path, "init_args": own_arguments(arguments)}
    refuse(named_code(accepted), source)  # raises for names that are neither listed nor allowed
    return accepted


def named_by_file(spec: Any) -> bool:
    """Return whether the name of a network comes from the file whose module is being built, not from the user.

    Args:
        spec: the `EncoderSpec` of a network. In a file, one of transformers needs `arguments`, its configuration, so
            that no folder is read.

    Returns:
        True if the file names the network: nothing is then fetched, because the file has the weights. False if the user
        names it.

    Raises:
        ValueError: one line, if the file names a path, an address, or code that it may not name.
    """
    source = _built_from.get()  # None: no module of a file is being built
    text = spec.text
    if source is None or not source.states(text):  # `states`: the text is among the file's arguments
        return False
    needs_folder = package_of(text) == "transformers" and spec.arguments is None
    if not re.fullmatch(rf"[\w-]+|{WITH_PLACE}", text) or needs_folder:  # other texts are paths or addresses
        quoted = text[:LONGEST]
        raise Refused(f"{source.file}: names another file as its encoder, {quoted}; a checkpoint must hold its encoder")
    if ":" in text:  # else a short name
        refuse([text], source.file)  # raises unless the name is listed or allowed
    return True


def check_file(path: str | Path) -> None:
    """Refuse to open a file while the module of another file is being built.

    Raises:
        ValueError: one line.
    """
    source = _built_from.get()  # the other file; None: none is being built
    if source is not None:
        raise Refused(f"{source.file}: names another file, {str(path)[:LONGEST]}; a checkpoint must hold its weights")


@contextmanager
def _building_from(source: _Source | None) -> Iterator[None]:
    """Set during a block what names the networks that the block builds: a file, or None, which is the user."""
    token = _built_from.set(source)
    try:
        yield
    finally:
        _built_from.reset(token)


def named_by_user() -> AbstractContextManager[None]:
    """Lift the refusals of `check_file` and `named_by_file` in a block that builds a network which the user named."""
    return _building_from(None)


def own_arguments(arguments: object) -> dict[str, Any]:
    """Return a constructor's arguments in a file, without those of Lightning (`_…`); {} if `arguments` is no dict.

    Example:
        >>> own_arguments({"lr": 0.1, "_instantiator": "lightning"}), own_arguments("lr=0.1")
        ({'lr': 0.1}, {})
    """
    items = arguments.items() if isinstance(arguments, Mapping) else ()
    return {str(name): value for name, value in items if not str(name).startswith("_")}


def make(recipe: object, source: str | Path, **overrides: Any) -> Any:
    """Build the module that a file names, with fresh weights, if the file may name its class.

    Args:
        recipe: `class_path`, and `init_args` of its constructor.
        source: the file, for messages.
        overrides: arguments of the caller, which override the file's.

    Raises:
        ValueError: if the recipe names code that is not allowed, not there or no module, or the constructor
            refuses the arguments.
    """
    accepted = check_recipe(recipe, source)
    class_path = accepted["class_path"]
    package, _, name = class_path.rpartition(".")
    kind = import_named(package, name, f"{source}: its class {class_path}")
    if not is_module(kind):
        raise ValueError(f"{source}: its class {class_path} is not a torch.nn.Module")
    return constructed(kind, accepted["init_args"], source, **overrides)


def constructed(kind: Any, arguments: Mapping[str, Any], source: str | Path, **overrides: Any) -> Any:
    """Call a class, or a function that makes a module, with arguments of a file as plain values.

    During the call, networks that the arguments name count as named by the file (`named_by_file`), and no file is
    opened (`check_file`).

    Args:
        kind: the class or function.
        arguments: of the file. Each is converted to its annotated type, for example a dict to a dataclass.
        source: the file, for messages. If the call happens while the module of another file is built, messages name
            that outer file.
        overrides: arguments of the caller, which override the file's.

    Raises:
        ValueError: if the call fails or gives no module.

    Example:
        >>> constructed(nn.Linear, {"in_features": "2", "out_features": 3}, "own.ckpt")
        Linear(in_features=2, out_features=3, bias=True)
        >>> constructed(nn.Linear, {"width": 3}, "own.ckpt")
        Traceback (most recent call last):
            ...
        ValueError: own.ckpt: Linear cannot be made: Linear.__init__() got an unexpected keyword argument 'width'
    """
    outer = _built_from.get()  # the file whose module is being built around this call; None: there is none
    file = source if outer is None else outer.file
    require_small(arguments, file)
    if is_module(kind):
        arguments = without_arguments_of_bases(kind, arguments)
    stated = {name: value for name, value in arguments.items() if name not in overrides}
    values = as_annotated(kind, stated | overrides)
    # names of networks in the file: its own texts, and the converted values, since a converted path has another text
    built_from = _source_of(file, [stated, [values[name] for name in stated]])
    # A class of ours makes only networks that its arguments name. Without overrides all arguments are the file's. Then
    # every network that is built during the call counts as named by the file, whatever its text (None).
    if not overrides and is_listed(import_path(kind)):
        built_from = _Source(str(file), None)
    name = getattr(kind, "__name__", type(kind).__name__)
    # a separate context: within LightningCLI, Lightning gives nested modules the arguments of the outer module
    context = Context()
    context.run(_built_from.set, built_from)
    try:
        module = context.run(kind, **values)
    except Refused:  # says already what the file may not name
        raise
    except Exception as error:  # any type, because the arguments in the file are at fault
        raise ValueError(f"{file}: {name} cannot be made: {reason(error)}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{file}: {name} gives a {type(module).__name__}, not a module")
    return module


def _source_of(file: str | Path, stated: object) -> _Source:
    """Return a file with the texts by which it may name networks: all texts in its arguments.

    If the module of another file, the outer one, is being built now, its texts count too.

    Args:
        file: the file.
        stated: the file's arguments.
    """
    texts = frozenset(str(leaf) for leaf in leaves_in(stated) if isinstance(leaf, str | Path))
    outer = _built_from.get()  # its texts are None if it names every network that is built now
    of_outer = frozenset() if outer is None or outer.texts is None else outer.texts
    return _Source(str(file), texts | of_outer)


def in_name_of(file: str | Path, stated: object) -> AbstractContextManager[None]:
    """Count networks as named by a file within the `with` block, if their names are among the texts in `stated`.

    The name of such a network is checked, and nothing is fetched for the network (`named_by_file`).

    Args:
        file: the file.
        stated: fields or arguments in the file, nested or not.

    Raises:
        ValueError: if `stated` has too many values (`require_small`).
    """
    require_small(stated, file)
    return _building_from(_source_of(file, stated))


def as_annotated(kind: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of a class or function, converted by pydantic to the annotated types.

    An argument without annotation, or that does not fit its annotation, stays as it is.

    Args:
        kind: the class or function.
        arguments: its arguments, by name.

    Example:
        >>> def network(size: tuple[int, int], width: int, other=None): ...
        >>> as_annotated(network, {"size": [3, 4], "width": "8", "other": "3"})
        {'size': (3, 4), 'width': 8, 'other': '3'}
        >>> as_annotated(network, {"width": "wide"})  # the call will refuse it
        {'width': 'wide'}
    """
    converted = dict(arguments)
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):  # annotated by types that it does not import; or no function
        hints = get_type_hints(getattr(kind, "__init__", kind) if isinstance(kind, type) else kind)
    for name in hints.keys() & arguments.keys():
        with suppress(Exception):  # a type that pydantic does not know, or a wrong value, which the constructor refuses
            converted[name] = TypeAdapter(hints[name]).validate_python(arguments[name])
    return converted


def without_arguments_of_bases(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that the constructor of a class takes: Lightning saves the arguments of its bases too.

    Arguments that neither the class nor a base takes stay, so that the constructor refuses them.

    Args:
        kind: the class.
        arguments: arguments of the class and its bases, by name.

    Example:
        >>> class Own(nn.Conv2d):
        ...     def __init__(self, width: int) -> None: ...
        >>> without_arguments_of_bases(Own, {"width": 8, "stride": 2, "stried": 2})
        {'width': 8, 'stried': 2}
    """
    own = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):  # **kwargs, for its bases
        return dict(arguments)
    of_bases: set[str] = set()
    for base in kind.__mro__[1:]:  # each base's own constructor, not one that it inherits
        of_bases.update(inspect.signature(vars(base).get("__init__", object.__init__)).parameters)
    return {name: value for name, value in arguments.items() if name in own or name not in of_bases}


def import_path(kind: Any) -> str:
    """Return `package.module.Class`, of a class or a function.

    Example:
        >>> import_path(nn.Linear)
        'torch.nn.modules.linear.Linear'
    """
    return f"{kind.__module__}.{kind.__qualname__}"


def import_named(module: str, name: str, what: str) -> Any:
    """Import a name that the user gave; the module may lie in the working directory, which joins `sys.path`.

    Args:
        module: the module.
        name: a name in it.
        what: beginning of the message, which tells the purpose of the name.

    Raises:
        ValueError: if the module does not exist, does not have the name, or exits when it is imported.

    Example:
        >>> import_named("torch", "Absent", "own.ckpt: its class")
        Traceback (most recent call last):
            ...
        ValueError: own.ckpt: its class: cannot import it (module 'torch' has no attribute 'Absent'); run from its ...
        >>> import_named("nowhere", "Net", "network")
        Traceback (most recent call last):
            ...
        ValueError: network: cannot import it (No module named 'nowhere'); run from its folder, or set PYTHONPATH; ...
        >>> import_named("nets/own.py", "Net", "network")
        Traceback (most recent call last):
            ...
        ValueError: network: nets/own.py is a path: name it as a module, own:Net, from its folder
    """
    if "/" in module or module.endswith(".py"):
        raise ValueError(
            f"{what}: {module} is a path: name it as a module, {Path(module).stem}:{name}, from its folder"
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # at the end, to hide no other module; the installed command lacks the folder
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
    """Return an error's text on one line of at most `LONGEST` characters, without torch's advice; else its type.

    Example:
        >>> reason(ValueError("WeightsUnpickler error: Unsupported  operand 72\\nCheck the documentation …"))
        'Unsupported operand 72'
        >>> reason(KeyError())
        'KeyError'
    """
    line = " ".join(str(error).split())
    said = line.rpartition("WeightsUnpickler error: ")[2]
    return TORCHS_ADVICE.split(said)[0].rstrip()[:LONGEST] or type(error).__name__
