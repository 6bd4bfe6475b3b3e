"""Checks on a file that `torch.save` wrote, made before anything is allocated or called.

`torch.load(weights_only=True)` runs no foreign code, but it believes the sizes that a file declares: a tensor whose
shape exceeds its storage makes torch enlarge the storage. Here the pickle is read as a list of instructions instead.
"""

import pickletools
import re
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch

PICKLE_LIMIT = 16 * 2**20
"""Largest size in bytes of a checkpoint's pickle, which holds names, shapes and plain values; weights are separate."""

ZIP = b"PK\x03\x04"
"""First bytes of the zip files that torch writes since 1.6."""

REUSE_LIMIT = 4
"""Largest total size of all tensors, as a multiple of the file's: tied weights are stored once."""

GLOBALS = frozenset(
    {
        "collections.Counter",
        "collections.OrderedDict",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        "torch.device",
    }
)
"""Functions and classes that a checkpoint may name, in addition to torch's storages and dtypes."""

STORAGES: dict[str, int] = {
    f"{module}.{name}": dtype.itemsize
    for dtype, name in torch.storage._dtype_to_storage_type_map().items()
    for module in ("torch", "torch.cuda")
}
"""Name of a storage's class → bytes of one of its numbers."""

DTYPES = frozenset(str(value) for value in vars(torch).values() if isinstance(value, torch.dtype))


class DamagedFile(ValueError):
    """Error for a file whose content contradicts itself."""


class UnsafeContent(ValueError):
    """Error for a file that names a function or class outside the list of plain types."""


@dataclass(frozen=True)
class Global:
    """A function or class that a pickle names."""

    name: str


@dataclass(frozen=True, eq=False)
class Storage:
    """A block of numbers that a pickle refers to."""

    key: str
    numel: int
    itemsize: int


def screen(path: Path, extra_globals: Collection[str] = (), checksums: bool = True) -> None:
    """Refuse a file of `torch.save` that is damaged, names code, or would grow when it is read.

    Checks the checksums of all parts, the names that the pickle holds, and every declared size against the file.

    Args:
        path: a zip file of `torch.save`, or the older form of one pickle after another.
        extra_globals: names that are allowed in addition to `GLOBALS`.
        checksums: verify those of the tensors, which reads the complete file; that of the pickle is always verified.

    Raises:
        DamagedFile: if the file contradicts itself, or is neither of the two forms.
        UnsafeContent: if it names other functions or classes.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == ZIP  # torch decides by the same bytes
            file.seek(0)
            if zipped:
                pickled, records = _read_zip(file, size, checksums)
                storages = _Screening(GLOBALS | set(extra_globals), size).run(BytesIO(pickled))
                for storage in storages:
                    if storage.numel * storage.itemsize > records.get(storage.key, -1):
                        _damaged(f"storage {storage.key!r} is missing or shorter than declared")
            else:
                _screen_legacy(file, GLOBALS | set(extra_globals), size)
    except (DamagedFile, UnsafeContent, PermissionError):
        raise
    except Exception as error:  # whatever a parser raises here, the bytes of the file are at fault
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DamagedFile(reason) from error


def _read_zip(file: BinaryIO, size: int, checksums: bool) -> tuple[bytes, dict[str, int]]:
    """Return the pickle of a zip file and the size of each storage."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
            _damaged("it is compressed or encrypted, which torch.save never does")
        if sum(member.file_size for member in members) > size or len(set(names)) < len(names):
            _damaged("its parts are larger than the file, or named twice")
        pickles = [member for member in members if re.fullmatch("[^/]*/data.pkl", member.filename)]
        if len(pickles) != 1:
            _damaged("it holds no data.pkl")
        if pickles[0].file_size > PICKLE_LIMIT:
            _damaged(f"its data.pkl is larger than {PICKLE_LIMIT // 2**20} MB")
        if checksums and (broken := archive.testzip()) is not None:
            _damaged(f"the checksum of {broken!r} does not hold")
        folder = pickles[0].filename.partition("/")[0] + "/data/"
        records = {name.removeprefix(folder): m.file_size for name, m in zip(names, members, strict=True)}
        return archive.read(pickles[0]), records


def _screen_legacy(file: BinaryIO, allowed: Collection[str], size: int) -> None:
    """Screen the form of torch up to 1.5: magic number, protocol, system, content, keys, then the storages."""
    storages: list[Storage] = []
    for _ in range(5):
        storages += _Screening(allowed, size).run(file)
    declared = sum(nbytes for _, nbytes in {(storage.key, storage.numel * storage.itemsize) for storage in storages})
    if declared > size - file.tell():
        _damaged("its storages are longer than the file")


class _Screening:
    """A pickle interpreter that calls nothing: a call becomes its arguments, a global its name.

    Args:
        allowed: globals that may be named.
        size: size of the file, which bounds all tensors together.
    """

    def __init__(self, allowed: Collection[str], size: int) -> None:
        self.allowed, self.budget = allowed, REUSE_LIMIT * size + PICKLE_LIMIT
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: list[Storage] = []

    def run(self, file: BinaryIO) -> list[Storage]:
        """Interpret one pickle and return the storages that it refers to."""
        begin = file.tell()
        for opcode, argument, position in pickletools.genops(file):
            if position is not None and position - begin > PICKLE_LIMIT:
                _damaged(f"its pickle is longer than {PICKLE_LIMIT // 2**20} MB")
            handler = HANDLERS.get(opcode.name)
            if handler is None:
                _damaged(f"unexpected instruction {opcode.name} in its pickle")
            handler(self, argument)
        return self.storages

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_global(self, argument: str) -> None:
        name = argument.replace(" ", ".")
        if name not in self.allowed and name not in STORAGES and name not in DTYPES:
            shown = name if name.isprintable() and len(name) < 100 else repr(name)[:100]
            raise UnsafeContent(f"it holds {shown}, and loading that may run code")
        self.push(Global(name))

    def mark(self, _: object) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def pack(self, number: int) -> None:
        items = self.stack[len(self.stack) - number :]
        del self.stack[len(self.stack) - number :]
        self.push(tuple(items))

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def append(self, _: object) -> None:
        item = self.stack.pop()
        self.stack[-1].append(item)

    def append_all(self, _: object) -> None:
        items = self.to_mark()
        self.stack[-1].extend(items)

    def set_item(self, _: object) -> None:
        self.stack.pop(), self.stack.pop()

    def set_items(self, _: object) -> None:
        self.to_mark()

    def persistent(self, _: object) -> None:
        kind, storage, key, _location, numel, *view = self.stack.pop()
        if kind != "storage" or not _is_count(numel) or not isinstance(key, str) or any(view):
            _damaged("a storage is declared with other than a name and a length")
        found = Storage(key, numel, STORAGES[storage.name])
        self.storages.append(found)
        self.push(found)

    def call(self, _: object) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        name = function.name
        if name in STORAGES or not isinstance(arguments, tuple):
            _damaged(f"it calls {name}")
        if name == "torch._utils._rebuild_tensor_v2":
            self.check_tensor(*arguments[:4])
        if name.endswith("multiarray.scalar") and len(arguments) != 2:
            _damaged("a number without its value")  # numpy would allocate whatever size the type names
        self.push([] if name == "collections.OrderedDict" and not arguments else arguments)

    def new(self, _: object) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind.name in GLOBALS or kind.name not in self.allowed:
            _damaged("it makes an object without calling its class")
        self.push(arguments)

    def build(self, _: object) -> None:
        self.stack.pop()

    def check_tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        """Refuse a tensor that reaches outside its storage or repeats it."""
        numbers = (offset, *size, *stride)
        if not all(map(_is_count, numbers)) or len(size) != len(stride) or len(size) > 64:
            _damaged(f"a tensor of shape {str(size)[:80]} and stride {str(stride)[:80]}")
        numel = 1
        for side in size:
            numel *= side
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if numel else 0
        if numel and (last >= storage.numel or numel > storage.numel):
            _damaged(f"a tensor of shape {str(size)[:80]} over a storage of {storage.numel} numbers")
        self.budget -= numel * storage.itemsize
        if self.budget < 0:
            _damaged("its tensors together are much larger than the file")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**48


def _damaged(reason: str) -> NoReturn:
    raise DamagedFile(reason)


def _pushes(value: Callable[[Any], Any]) -> Callable[[_Screening, Any], None]:
    return lambda machine, argument: machine.push(value(argument))


HANDLERS: dict[str, Callable[[_Screening, Any], None]] = {
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"),
        _Screening.push,
    ),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES"), _Screening.push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Screening.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "PROTO": lambda machine, _: None,
    "STOP": lambda machine, _: machine.stack.pop() and None,
    "NONE": _pushes(lambda _: None),
    "NEWTRUE": _pushes(lambda _: True),
    "NEWFALSE": _pushes(lambda _: False),
    "EMPTY_LIST": _pushes(lambda _: []),
    "EMPTY_DICT": _pushes(lambda _: []),
    "EMPTY_SET": _pushes(lambda _: []),
    "EMPTY_TUPLE": _pushes(lambda _: ()),
    "MARK": _Screening.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.pack(1),
    "TUPLE2": lambda machine, _: machine.pack(2),
    "TUPLE3": lambda machine, _: machine.pack(3),
    "APPEND": _Screening.append,
    "APPENDS": _Screening.append_all,
    "SETITEM": _Screening.set_item,
    "SETITEMS": _Screening.set_items,
    "GLOBAL": _Screening.push_global,
    "BINPERSID": _Screening.persistent,
    "REDUCE": _Screening.call,
    "NEWOBJ": _Screening.new,
    "BUILD": _Screening.build,
}
"""Instructions that torch's own restricted reader knows; all others are refused."""
