"""Protocols: frozen records of every number and rule that affects a score, and the sources of their values."""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import yaml  # type: ignore[import-untyped]
from annotated_types import Interval
from pydantic import ConfigDict, TypeAdapter, ValidationError


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


class Range(Interval):
    """Range of a number. A subclass, because the command line's parser would check a plain `Interval` too."""


PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
UnitInterval = Annotated[float, Range(ge=0, le=1)]
Cosine = Annotated[float, Range(ge=-1, le=1)]


SET_BY_FEATURES: Mapping[str, str] = {"set_by": "features"}
"""Metadata of a field that the features of a network set, such as their stride."""
SET_BY_NETWORK: Mapping[str, str] = {"set_by": "network"}
"""Metadata of a field that a network may set, such as its normalisation."""
NAMING: Mapping[str, str] = {"part": "naming"}
"""Metadata of a field that is part of the name and no value of its own."""


@dataclasses.dataclass(frozen=True)
class EvaluationProtocol:
    """Base of all protocols: a frozen dataclass of plain types with a name, a digest and checked values.

    A subclass adds its fields and names the section of protocols.yaml that lists its sources. A field's type includes
    the range of its numbers, and its metadata the part of an evaluation that uses it; `_conditions()` has the rules
    between fields.

    A protocol's name is made from its values: a source, and every field that differs from the source's values for
    `benchmark`. So `dataclasses.replace(vfs, topk=5)` is named `vfs+topk=5`. A user's own name stands for
    the values in the call that set the name.

    Attributes:
        name: name of a source or a user's own name, followed by `+field=value` for every changed field. As an
            argument, `name` may hold changes too; the values decide.
        benchmark: benchmark whose values the name of a source stands for. The default is `default_benchmark` for a
            source, or else the first for which it has values, and None for a user's own name.
        named_values: values that `source` stands for, and `source` under "name". As an argument, those of a user's own
            name, which `dataclasses.replace` keeps.

    Raises:
        ValueError: for a value of another type or out of range, a name that changes an unknown field, or a benchmark
            for which the source defines no values.
    """

    name: str
    benchmark: str | None = dataclasses.field(default=None, kw_only=True, compare=False, metadata=NAMING)
    named_values: Mapping[str, Any] = dataclasses.field(
        default_factory=dict, kw_only=True, compare=False, repr=False, metadata=NAMING
    )

    kind: ClassVar[str] = ""
    """Section of protocols.yaml."""
    default_benchmark: ClassVar[str] = "davis"
    """Benchmark of `named`, unless another is given."""

    def __post_init__(self) -> None:
        for field in self.value_fields():
            object.__setattr__(self, field.name, _as_plain_type(getattr(self, field.name)))
        self._set_origin()
        changes = [f"{field}={_as_text(value)}" for field, value in self.changes.items()]
        object.__setattr__(self, "name", "+".join([self.source, *changes]))
        for field in self.value_fields():
            expected = _misfit(getattr(self, field.name), field.type)
            if expected:
                raise self._error(field.name, expected)
        for field_name, (holds, expected) in self._conditions().items():
            if not holds:
                raise self._error(field_name, expected)

    def _set_origin(self) -> None:
        """Set `benchmark` and `named_values`: the values that the name without its changes stands for."""
        source, claimed = self._split(self.name)
        benchmark: str | None = None
        named_values = self.named_values
        if source in self.sources():
            known = self.sources()[source].values
            first = self.default_benchmark if self.default_benchmark in known else next(iter(known))
            benchmark = self.benchmark or first
            if benchmark not in known:
                raise self._error("benchmark", f"one of {', '.join(known)}")
            named_values = {"name": source}
            for field in self.value_fields():
                value = known[benchmark].get(field.name, field.default)
                named_values[field.name] = _as_plain_type(value)
        elif named_values.get("name") != source:
            unchanged = self._values()
            for changed in claimed:
                del unchanged[changed]
            named_values = {"name": source, **unchanged}
        object.__setattr__(self, "benchmark", benchmark)
        object.__setattr__(self, "named_values", named_values)

    @classmethod
    @functools.cache
    def value_fields(cls) -> tuple["dataclasses.Field[Any]", ...]:
        """Return the dataclass fields that hold values: all but the name and its benchmark."""
        fields = dataclasses.fields(cls)
        return tuple(field for field in fields if field.name != "name" and field.metadata.get("part") != "naming")

    @classmethod
    @functools.cache
    def fields_set_by(cls, *setters: str) -> tuple[str, ...]:
        """Return the names of the fields that features or networks set too; `setters`: "features", "network"."""
        return tuple(field.name for field in cls.value_fields() if field.metadata.get("set_by") in setters)

    @classmethod
    @functools.cache
    def sources(cls) -> Mapping[str, Source]:
        """Return the named protocols: name → source."""
        text = Path(__file__).with_name("protocols.yaml").read_text("utf-8")
        entries = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get(cls.kind, {})
        for entry in entries.values():
            if isinstance(entry.get("note"), list):
                entry["note"] = " ".join(entry["note"])
        return {name: Source(**entry) for name, entry in entries.items()}

    @classmethod
    def named(
        cls,
        name: str | Self,
        benchmark: str | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the protocol that a source defines for a benchmark.

        Args:
            name: a key of `sources()`, also with changes as in results and tables: `vfs+radius=6+topk=5`; or a
                protocol, returned with `changes`.
            benchmark: name of the benchmark; None is `default_benchmark`.
            changes: field → new value; the name shows the changes.

        Raises:
            TypeError: for a field of `changes` that does not exist.
            ValueError: for an unknown name or field in it, a value that does not fit its field, or a source without
                values for the benchmark.
        """
        changes = dict(changes or {})
        if not isinstance(name, str):
            return name.with_changes(**changes)
        benchmark = benchmark or cls.default_benchmark
        sources = cls.sources()
        base, texts = cls._split(name)
        if base not in sources:
            raise ValueError(f"unknown protocol {base!r}: expected one of {', '.join(sources)}")
        in_name: dict[str, Any] = {}
        for field in cls.value_fields():
            if field.name in texts:
                in_name[field.name] = _read(texts[field.name], field.type)
        values = sources[base].values
        if benchmark not in values:
            only = ", ".join(values)
            raise ValueError(f"the source of protocol {base!r} defines no values for {benchmark!r} (only for {only})")
        return cls(name=base, benchmark=benchmark, **values[benchmark]).with_changes(**in_name | changes)

    def with_changes(self, **fields: Any) -> Self:
        """Return this protocol with other values, under a name that shows the changes: `vfs+radius=6+topk=5`.

        A change back to the source's value leaves the name again.

        Raises:
            TypeError: for a field that does not exist.
            ValueError: for a value out of range.
        """
        return dataclasses.replace(self, **fields)

    def brought_by_features(self, **fields: Any) -> Self:
        """Return this protocol with values that features have, such as their stride; the name shows what differs.

        Raises:
            ValueError: if the name changes a field to another value: the change would be dropped.
        """
        changes = self.changes
        for field, value in fields.items():
            if field in changes and changes[field] != value:
                text = f"the features have {field} {_as_text(value)}: leave the change out, or choose other features"
                raise ValueError(f"protocol {self.name!r}: {text}")
        return self.with_changes(**fields)

    @property
    def source(self) -> str:
        """The name without its changes: a key of `sources()`, or a user's own name."""
        return str(self.named_values["name"])

    @property
    def changes(self) -> dict[str, Any]:
        """Field → value, for the fields that differ from the values that the source's name stands for; sorted."""
        named = self.named_values
        changes: dict[str, Any] = {}
        for field, value in sorted(self._values().items()):
            if field not in named or named[field] != value:
                changes[field] = value
        return changes

    def fields(self) -> dict[str, Any]:
        """Return name, benchmark and all values as plain JSON types, for results.json."""
        return json.loads(json.dumps({"name": self.name, "benchmark": self.benchmark, **self._values()}))

    def _values(self) -> dict[str, Any]:
        """Return field → value, without the name and its benchmark."""
        return {field.name: getattr(self, field.name) for field in self.value_fields()}

    def origin(self) -> dict[str, str]:
        """Return the source of this protocol, for results and reports.

        Returns:
            `code`, `note` (differences from the code) and `inferred` (values for the benchmark that the source does
            not state), without empty entries. The dictionary is empty if the protocol has no source.
        """
        source = self.sources().get(self.source)
        if source is None:
            return {}
        texts = {"code": source.code, "note": source.note, "inferred": source.inferred.get(self.benchmark or "", "")}
        return {key: text for key, text in texts.items() if text}

    def shared(self) -> Self:
        """Return the part that two networks must share to be compared, with the source's values where a network sets.

        `vfs+feature_stride=16` becomes `vfs`.
        """
        named = self.named_values
        set_by_network = self.fields_set_by("features", "network")
        values_of_source = {field: named[field] for field in set_by_network if field in named}
        return dataclasses.replace(self, **values_of_source)

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of a SHA-256: equal if and only if protocols are equal (1 == 1.0).

        Fields at their default are left out, so that a new field keeps the digests of protocols that do not use it.
        """
        content: dict[str, Any] = {"name": self.name}
        for field in self.value_fields():
            value = getattr(self, field.name)
            if value != field.default:
                content[field.name] = value
        numbers_alike = json.loads(json.dumps(content), parse_int=float)
        return hashlib.sha256(json.dumps(numbers_alike, sort_keys=True).encode()).hexdigest()[:12]

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        """Return field → (whether its value fits the other fields, the condition in words)."""
        return {}

    @classmethod
    def _split(cls, name: str) -> tuple[str, dict[str, str]]:
        """`vfs+topk=5` → (`vfs`, {`topk`: `5`}); a plus without a following `field=` belongs to the text before it.

        Raises:
            ValueError: for a change of an unknown field.
        """
        base, *pieces = re.split(r"\+(?=[^\W\d]\w*=)", name)
        changes = dict(piece.split("=", 1) for piece in pieces)
        unknown = changes.keys() - {field.name for field in cls.value_fields()}
        if unknown:
            raise ValueError(f"protocol {name!r}: a protocol has no field {min(unknown)!r}")
        return base, changes

    def _error(self, field: str, expected: str) -> ValueError:
        return ValueError(f"protocol {self.name!r}: {field} must be {expected}, got {getattr(self, field)!r}")


def _as_text(value: Any) -> str:
    """Return a value as in names; equal values have equal texts, so 6.0 is `6`."""
    if isinstance(value, tuple):
        return ",".join(map(_as_text, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower()


def _as_value(text: str) -> Any:
    """Read a plain value as written by `_as_text` or JSON: `none`, `true`, `6`, `0.07`; other text stays text."""
    try:
        return json.loads("null" if text == "none" else text)
    except ValueError:
        return text


def _read(text: str, kind: Any) -> Any:
    """Return the value of a text in a name, of the annotation's type if possible."""
    parts = text.split(",") if text else []
    readings = (_as_value(text), text, tuple(map(_as_value, parts)))
    for value in readings:
        if not _misfit(value, kind):
            return value
    return readings[0]


def _as_plain_type(value: Any) -> Any:
    """Lists (of YAML and JSON) and ranges become tuples; numpy's numbers become Python's."""
    if isinstance(value, list | tuple | range):
        return tuple(map(_as_plain_type, value))
    if isinstance(value, np.generic):
        return value.item()
    return value


_adapter = functools.cache(functools.partial(TypeAdapter, config=ConfigDict(strict=True, allow_inf_nan=False)))


def _misfit(value: Any, kind: Any) -> str:
    """Return the expected type or range in words if a value does not fit an annotation; values are not converted."""
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Input should be ")
    return ""
