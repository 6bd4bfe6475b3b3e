"""Protocols: frozen records of every number and rule that affects a score, and the sources of their values."""

import dataclasses
import functools
import hashlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from ..near_names import did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A publication whose protocol is reproduced: an entry of protocols.yaml.

    Attributes:
        code: repository @ commit, and the files that define the values.
        values: benchmark → fields of the protocol; fields that are not named keep their defaults.
        note: differences from the original code, and values that the code leaves open.
        inferred: benchmark → the part of its values that the source does not state.
    """

    code: str
    values: Mapping[str, dict[str, Any]]
    note: str = ""
    inferred: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class OnlyIf:
    """Annotation of a field that changes scores only if `holds(protocol)`; `condition` is its text."""

    holds: Callable[[Any], bool]
    condition: str


class Condition(NamedTuple):
    """A rule between the fields of a protocol.

    Attributes:
        field: the field that is refused.
        holds: True if its value fits the other fields.
        expected: the values that fit, in words.
    """

    field: str
    holds: bool
    expected: str


READ_BY_NETWORK = "read by the network"
"""Annotation of a field that some networks alone obey, such as transformers."""
SET_BY_NETWORK = "set by the network"
"""Annotation of a field that a network may set, such as the stride of its features or its normalisation."""


class EvaluationProtocol(BaseModel):
    """Base of all protocols: frozen values of plain types, with a name and a digest.

    A subclass adds its fields and names the section of protocols.yaml that lists its sources. A field's type includes
    the range of its numbers; `_conditions()` yields the rules between fields.

    A protocol's name is made from its values: a source, and every field that counts (`OnlyIf`) and differs from the
    source's values for `benchmark`. So `vfs.with_changes(topk=5)` is named `vfs+topk=5`. A user's own name stands for
    the values of the protocol that was made with this name.

    Attributes:
        source: the name without changes: a key of `sources()`, or a user's own name. As an argument it is `name`.
        benchmark: the benchmark for which the source's values are taken; by default `default_benchmark`, or the first
            benchmark of a source that has no values for the default. None for a user's own name.

    All arguments are fields, by name. `model_dump()` gives arguments too.

    Raises:
        ValueError: for an unknown field, a value of another type or out of range, or a benchmark for which the source
            defines no values.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = Field(alias="name")
    benchmark: str | None = None
    _named: dict[str, Any] = PrivateAttr()
    """Field → value that `source` stands for; other values are changes in the name."""
    _digest: str = PrivateAttr("")
    """The digest, computed by the first call of `digest`; "" before."""

    kind: ClassVar[str] = ""
    """Section of protocols.yaml."""
    default_benchmark: ClassVar[str] = "davis"
    """Benchmark of `named`, unless another is given."""
    class_for: ClassVar[Mapping[str, Any]] = {}
    """Benchmark → class of its protocols, for benchmarks whose protocols are of another class than this one."""

    def __init__(self, **arguments: Any) -> None:
        # the field's name in `model_dump()`; in Python one writes `name=`
        if "source" in arguments:
            arguments.setdefault("name", arguments.pop("source"))
        try:
            super().__init__(**{field: _as_plain_type(value) for field, value in arguments.items()})
        except ValidationError as error:
            raise _refusal(type(self), arguments, error) from None
        # `_named`: field → value that `source` stands for; the name says the others, `vfs+topk=5`
        if self.source in self.sources():
            benchmarks = self.sources()[self.source].values
            default = self.default_benchmark if self.default_benchmark in benchmarks else next(iter(benchmarks))
            benchmark = self.benchmark or default
            object.__setattr__(self, "benchmark", benchmark)
            self._named = self.values_of(self.source, benchmark)
        # a user's own name: its values are not changes of another protocol
        else:
            object.__setattr__(self, "benchmark", None)
            self._named = self.values()
        for field, holds, expected in self._conditions():
            if not holds:
                raise ValueError(f"protocol {self.name!r}: {field} must be {expected}, got {getattr(self, field)!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """Return the protocol with changed fields, checked as by `with_changes`; pydantic would not check them."""
        return self.with_changes(**update or {})

    @classmethod
    @functools.cache
    def value_fields(cls) -> tuple[str, ...]:
        return tuple(field for field in cls.model_fields if field not in ("source", "benchmark"))

    @classmethod
    @functools.cache
    def sources(cls) -> Mapping[str, Source]:
        text = Path(__file__).with_name("protocols.yaml").read_text("utf-8")
        # the loader in C, which is faster, if there is one
        entries = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get(cls.kind, {})
        for entry in entries.values():
            if isinstance(entry.get("note"), list):
                entry["note"] = " ".join(entry["note"])
        return {name: Source(**entry) for name, entry in entries.items()}

    @classmethod
    def values_of(cls, source: str, benchmark: str) -> dict[str, Any]:
        """Return field → value of a source for a benchmark; fields that this class lacks are left out.

        Raises:
            ValueError: for an unknown source, or a source without values for the benchmark.
        """
        sources = cls.sources()
        if source not in sources:
            raise ValueError(f"unknown protocol {source!r}: expected your module:NAME or one of {', '.join(sources)}")
        benchmarks = sources[source].values
        if benchmark not in benchmarks:
            only = ", ".join(benchmarks)
            raise ValueError(f"the source of protocol {source!r} defines no values for {benchmark!r} (only for {only})")
        source_values = benchmarks[benchmark]
        values: dict[str, Any] = {}
        for field in cls.value_fields():
            default = cls.model_fields[field].get_default(call_default_factory=True)
            values[field] = _as_plain_type(source_values.get(field, default))
        return values

    @classmethod
    def named(
        cls, name: "str | EvaluationProtocol", benchmark: str | None = None, changes: Mapping[str, object] | None = None
    ) -> Any:
        """Return a protocol by its name, for a benchmark; its class is that of `class_for`.

        Args:
            name: a protocol, which keeps its benchmark and gets the changes; or a text in one of these forms:
                `vfs`, a key of `sources()`; `vfs+radius=6+topk=5`, with changes, as tables show it;
                `vfs+class=module:NAME`, as a user's class of protocols; `module:NAME`, a protocol of the user, or a
                user's class with the values of vfs for the benchmark, else of vidcorr, else of the first source.
            benchmark: name of the benchmark; None: `default_benchmark`.
            changes: field → new value; it wins over a change in `name`. The protocol's name shows all changes.

        Raises:
            ValueError: for an unknown name or field, a value that does not fit its field, a source without values for
                the benchmark, or a protocol of another class.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> PropagationProtocol.named("vfs+topk=5+radius=6", "vip", changes={"topk": 7}).name
            'vfs+radius=6+topk=7'
            >>> PropagationProtocol.named("vfs", "vip").context, PropagationProtocol.named("vfs").context
            (8, 20)
        """
        benchmark = benchmark or cls.default_benchmark
        kind = cls.class_for.get(benchmark, cls)
        all_changes = dict(changes or {})
        if isinstance(name, str):
            # split at each plus before `field=`; another plus belongs to the text before it
            source, *changed = re.split(r"\+(?=[^\W\d]\w*=)", name)
            texts = {}
            for piece in changed:
                field, _, text = piece.partition("=")
                texts[field] = text
            import_path = texts.pop("class", None)
            # of the user; as a class it takes the values of one of our sources
            if ":" in source:
                import_path = import_path or source
                sources = [key for key, entry in kind.sources().items() if benchmark in entry.values]
                # vfs if it has values for the benchmark, then vidcorr, then the first of the others
                source = min(sources, default="vfs", key=lambda key: (key != "vfs", key != "vidcorr"))
            protocol = kind(name=source, benchmark=benchmark, **kind.values_of(source, benchmark))
            if import_path is not None:
                protocol = protocol.under_users_name(import_path)
            for field, text in texts.items():
                all_changes.setdefault(field, _value_of_text(text, type(protocol), field))
        elif isinstance(name, kind):
            protocol = name
        else:
            shown = getattr(name, "name", name)
            raise ValueError(f"protocol {shown!r} is a {type(name).__name__}; expected a {kind.__name__}")
        return protocol.with_changes(**all_changes)

    def under_users_name(self, name: str) -> "EvaluationProtocol":
        """Return the user's protocol `module:NAME`, or, if NAME is a class, this protocol as one of the class.

        Defaults of fields that the user's class declares replace this protocol's values, and the name shows them.

        Raises:
            ValueError: if NAME does not exist or is neither; or if it is a class with its own `sources()`, without this
                protocol's source: a user's rule would stand under the name of a publication.
        """
        try:
            imported = pkgutil.resolve_name(name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"protocol {name}: {error}") from error
        if isinstance(imported, type(self)):
            return imported
        if not (isinstance(imported, type) and issubclass(imported, type(self))):
            expected = f"a class below {type(self).__name__}, or a protocol of it"
            raise ValueError(f"protocol {name}: is not {expected}, but {getattr(imported, '__name__', imported)!r}")
        # refuses a source that the class does not have
        imported.values_of(self.source, self.benchmark or "")
        return imported(**dict(self) | defaults_of_users_fields(imported))

    def with_changes(self, **fields: object) -> Self:
        """Return this protocol with other values, under a name that shows the changes: `vfs+radius=6+topk=5`.

        A change back to the source's value disappears from the name. `name` replaces the name.

        Raises:
            ValueError: for an unknown field, or a value out of range.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> vfs = PropagationProtocol.named("vfs")
            >>> changed = vfs.with_changes(topk=5, references=[0, -1])
            >>> changed.name, changed.with_changes(topk=10).name
            ('vfs+references=0,-1+topk=5', 'vfs+references=0,-1')
            >>> mine = changed.with_changes(name="mine")
            >>> mine.name, mine.with_changes(topk=3).name
            ('mine', 'mine+topk=3')
        """
        own = dict(self)
        if own | fields == own:
            return self
        # `own` gives the name as `source`; a `name` among the fields wins
        changed = type(self)(**own | fields)
        if "name" not in fields:
            # a user's own name stands for the first protocol's values, not for these
            changed._named = self._named
        return changed

    def brought_by_features(self, **fields: object) -> Self:
        """Return this protocol with values that the network's features decide, such as their stride.

        Raises:
            ValueError: if the user has changed a field to another value than the features have.
        """
        changes = self.changes
        for field, value in fields.items():
            if field in changes and changes[field] != value:
                text = f"the features have {field} {_as_text(value)}: leave the change out, or choose other features"
                raise ValueError(f"protocol {self.name!r}: {text}")
        return self.with_changes(**fields)

    @property
    def name(self) -> str:
        """The name: source, `+class=module:NAME` for a user's class under a paper's name, `+field=value` per change."""
        pieces = [self.source]
        kind = type(self)
        is_of_user = not kind.__module__.startswith("vidcorr.")
        # if the user's class takes its `sources()` from us, `source` may be a paper's name: then the class is named too
        has_our_sources = next(base for base in kind.__mro__ if "sources" in vars(base)) is EvaluationProtocol
        if is_of_user and has_our_sources and self.source in self.sources():
            pieces.append(f"class={kind.__module__}.{kind.__qualname__}")
        for field, value in self.changes.items():
            pieces.append(f"{field}={_as_text(value)}")
        return "+".join(pieces)

    @property
    def changes(self) -> dict[str, Any]:
        """Field → value, for the fields that count and differ from the values of `source`; sorted by field.

        Example:
            >>> from vidcorr.protocols import JointProtocol, PropagationProtocol
            >>> PropagationProtocol.named("vfs+radius=6+topk=10").changes  # VFS's topk is 10
            {'radius': 6.0}
            >>> late = PropagationProtocol.named("vfs+decoding_nearest=opencv")  # which counts at the input's size
            >>> late.changes, late.with_changes(decoding_size="input").changes
            ({}, {'decoding_nearest': 'opencv', 'decoding_size': 'input'})
            >>> PropagationProtocol.named("vfs+input_multiple=16+input_rounding=floor").changes
            {'input_multiple': 16, 'input_rounding': 'floor'}
            >>> JointProtocol.named("vfs+normalise_labels=true+topk=none+normalise_by=weights").changes
            {'normalise_by': 'weights', 'normalise_labels': True, 'topk': None}
        """
        changed: dict[str, Any] = {}
        for field, value in sorted(self.effective_values().items()):
            if value != self._named[field]:
                changed[field] = value
        return changed

    def values(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in self.value_fields()}

    def idle(self) -> dict[str, str]:
        """Return the fields that change no score (`OnlyIf`): field → the condition that does not hold."""
        conditions: dict[str, str] = {}
        for field in self.value_fields():
            for mark in type(self).model_fields[field].metadata:
                if isinstance(mark, OnlyIf) and not mark.holds(self):
                    conditions[field] = mark.condition
        return conditions

    def effective_values(self) -> dict[str, Any]:
        """Return field → value; a field that changes no score (`idle`) has the value that the name stands for.

        Two protocols that give the same scores have equal effective values, even if idle fields were given otherwise.
        """
        return self.values() | {field: self._named[field] for field in self.idle()}

    def origin(self) -> dict[str, str]:
        """Return texts on the source: `code`, `note` and `inferred`, without empty entries; {} without a source.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> vfs, loftup = PropagationProtocol.named("vfs", "vip"), PropagationProtocol.named("loftup")
            >>> list(vfs.with_changes(topk=5).origin()), vfs.with_changes(name="mine").origin()
            (['code', 'inferred'], {})
            >>> list(loftup.origin())[:2], loftup.origin()["note"][:30]
            (['code', 'note'], 'The frame is stretched to 224 ')
        """
        source = self.sources().get(self.source)
        if source is None:
            return {}
        inferred = source.inferred.get(self.benchmark or "", "")
        texts = {"code": source.code, "note": source.note, "inferred": inferred}
        return {key: text for key, text in texts.items() if text}

    def facts(self) -> dict[str, Any]:
        """Return what a result keeps of its protocol, as plain values."""
        shared = self.shared()
        fields = {"name": self.name, "benchmark": self.benchmark, **self.effective_values()}
        shared_facts = {"shared_name": shared.name, "shared": shared.digest()}
        return {"name": self.name, "digest": self.digest(), "fields": fields, **shared_facts}

    def shared(self) -> Self:
        """Return the protocol that results of two networks must have in common to be compared.

        Fields that the network sets (annotated as `SET_BY_NETWORK`) get the source's values: `vfs+feature_stride=16`
        becomes `vfs`.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> PropagationProtocol.named("vfs+feature_stride=16+topk=5").shared().name
            'vfs+topk=5'
            >>> dino = PropagationProtocol.named("dino")
            >>> dino.with_changes(feature_stride=16, rgb_mean=None, rgb_std=None).shared() == dino
            True
        """
        fields = type(self).model_fields
        return self.reset(field for field in self._named if SET_BY_NETWORK in fields[field].metadata)

    def reset(self, fields: Iterable[str]) -> Self:
        """Return this protocol with the values that its name without changes stands for, in the given fields.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> PropagationProtocol.named("vfs+radius=6+topk=5").reset(["radius"]).name
            'vfs+topk=5'
        """
        return self.with_changes(**{field: self._named[field] for field in fields})

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of a SHA-256 of the name and the effective values.

        Equal protocols have equal digests (1 equals 1.0). Fields at their default are left out, so that a new field
        keeps the digests of protocols that do not use it.

        Example:
            >>> from vidcorr.protocols import PropagationProtocol
            >>> vfs = PropagationProtocol.named("vfs")
            >>> [vfs.with_changes(radius=radius).digest() == vfs.digest() for radius in (12, 12.0, 6)]
            [True, True, False]
            >>> class More(PropagationProtocol):
            ...     added: int = 3
            >>> same, other = More(**dict(vfs)), More(**dict(vfs), added=2)
            >>> same.digest() == vfs.digest(), other.digest() == vfs.digest(), same == vfs
            (True, False, False)
        """
        if self._digest:
            return self._digest
        content: dict[str, Any] = {"name": self.name}
        if self.benchmark is not None:
            # also what protocols.yaml states for fields that this class lacks, as in the digests of published results
            source_values = self.sources()[self.source].values[self.benchmark]
            for field in source_values.keys() - self.value_fields():
                content[field] = source_values[field]
        for field, value in self.effective_values().items():
            if value != type(self).model_fields[field].get_default(call_default_factory=True):
                content[field] = value
        numbers_alike = json.loads(json.dumps(content), parse_int=float)
        self._digest = hashlib.sha256(json.dumps(numbers_alike, sort_keys=True).encode()).hexdigest()[:12]
        return self._digest

    def _conditions(self) -> Iterator[Condition]:
        yield from ()


def defaults_of_users_fields(kind: type[EvaluationProtocol]) -> dict[str, Any]:
    """Return field → default, for the fields whose default a user's class decides.

    Of several classes that declare a field, the first in the order of inheritance decides, as in Python; it counts if
    it is the user's and gives a default.

    Example:
        >>> from vidcorr.protocols import PropagationProtocol
        >>> class Mine(PropagationProtocol):
        ...     __module__ = "mine"  # not of vidcorr
        ...     topk: int = 3
        >>> defaults_of_users_fields(Mine), defaults_of_users_fields(PropagationProtocol)
        ({'topk': 3}, {})
    """
    defaults: dict[str, Any] = {}
    # from the farthest base to `kind`, so the class that decides comes last
    for base in reversed(kind.__mro__):
        for field in get_annotations(base):
            defaults.pop(field, None)
            info = kind.model_fields.get(field)
            if info is not None and not info.is_required() and not base.__module__.startswith("vidcorr."):
                defaults[field] = info.get_default(call_default_factory=True)
    return defaults


def _refusal(kind: type[EvaluationProtocol], arguments: Mapping[str, object], error: ValidationError) -> ValueError:
    mistake = error.errors()[0]
    field = str(mistake["loc"][0])
    expected = mistake["msg"].removeprefix("Input should be ")
    near = did_you_mean(field, kind.value_fields())
    texts = {"extra_forbidden": f"{kind.__name__} has no field {field!r}{near}", "missing": f"give {field}"}
    text = texts.get(mistake["type"], f"{field} must be {expected}, got {arguments.get(field)!r}")
    protocol = f"protocol {arguments['name']!r}" if "name" in arguments else kind.__name__
    return ValueError(f"{protocol}: {text}")


def _as_text(value: object) -> str:
    """Return a field's value as text for names; equal values have equal texts, so 6.0 is `6`."""
    if isinstance(value, tuple):
        return ",".join(map(_as_text, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else str(value).lower()


def _value_of_text(text: str, kind: type[EvaluationProtocol], field: str) -> Any:
    """Convert a text in a name to a value of a field; one that fits no type is returned, and refused later."""
    if field not in kind.value_fields():
        return text
    info = kind.model_fields[field]
    typed: Any = Annotated[info.annotation, info]
    adapter: TypeAdapter[Any] = TypeAdapter(typed, config=kind.model_config)
    plain = "null" if text == "none" else text
    # a number or null, a text, a tuple
    for as_json in (plain, json.dumps(text), f"[{text}]"):
        with suppress(ValidationError):
            return adapter.validate_json(as_json)
    return text


def _as_plain_type(value: object) -> Any:
    if isinstance(value, list | tuple | range):
        return tuple(map(_as_plain_type, value))
    if isinstance(value, np.generic):
        return value.item()
    return value
