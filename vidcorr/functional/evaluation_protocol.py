"""Protocols: frozen records of every number and rule that affects a score, and the sources of their values."""

import dataclasses
import functools
import hashlib
import json
import re
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import numpy as np
import yaml  # type: ignore[import-untyped]
from annotated_types import Interval
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import Self


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


@dataclasses.dataclass(frozen=True)
class EvaluationProtocol:
    """Base of all protocols: a frozen dataclass of plain types with a name, a digest and checked values.

    A subclass adds its fields and names the section of protocols.yaml that lists its sources. A field's type includes
    the range of its numbers; `_conditions()` has the rules between fields. The name of a source stands for the
    source's values: differences are appended, so `dataclasses.replace(vfs, topk=5)` is named `vfs+topk=5`.

    Attributes:
        name: of a source or any other name, followed by `+field=value` for every changed field.

    Raises:
        ValueError: for a value of another type or out of range, or a name that changes an unknown field.
    """

    name: str

    kind: ClassVar[str] = ""
    """Section of protocols.yaml."""
    default_benchmark: ClassVar[str] = "davis"
    """Benchmark of `named`, unless another is given."""
    of_network: ClassVar[tuple[str, ...]] = ("feature_stride", "rgb_mean", "rgb_std")
    """Fields that a network may set: the stride of its features and its normalisation."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _as_plain_type(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if expected := _misfit(value, field.type):
                raise self._error(field.name, expected)
        for field_name, (holds, expected) in {"name": (bool(self.name), "not empty"), **self._conditions()}.items():
            if not holds:
                raise self._error(field_name, expected)
        # the source's name, completed by the changes that lead from the source to these values
        base, changes = self._split(self.name)
        changed = self._differing(self._source_values()) if base in self.sources() else set(changes)
        name = "+".join([base, *(f"{field}={_as_text(getattr(self, field))}" for field in sorted(changed))])
        object.__setattr__(self, "name", name)

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
        like: Sequence[str] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the protocol that a source defines for a benchmark.

        Args:
            name: a key of `sources()`, also with changes as in results and tables: `vfs+radius=6+topk=5`; or a
                protocol, returned with `changes`.
            benchmark: name of the benchmark; None is `default_benchmark`.
            like: fallback benchmarks, in order, for a source without values for `benchmark`. A benchmark under a new
                name declares them to use the protocols of its kind.
            changes: fields to change, see `with_changes`.

        Raises:
            TypeError: for a field of `changes` that does not exist.
            ValueError: for an unknown name or field in it, a value that does not fit its field, or a source without
                values for the benchmark.
        """
        if not isinstance(name, str):
            return name.with_changes(**changes or {})
        sources, benchmark = cls.sources(), benchmark or cls.default_benchmark
        base, texts = cls._split(name)
        if base not in sources:
            raise ValueError(f"unknown protocol {base!r}: expected one of {', '.join(sources)}")
        values = sources[base].values
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        read = {field: _read(text, kinds[field]) for field, text in texts.items()}
        for known in (benchmark, *like):
            if known in values:
                return cls(name=base, **values[known]).with_changes(**read | dict(changes or {}))
        others = [other for other, source in sources.items() if {benchmark, *like} & source.values.keys()]
        raise ValueError(
            f"the source of protocol {base!r} defines no values for {benchmark!r} (only for {', '.join(values)})"
            + (f"; use one of {', '.join(others)}" if others else "")
        )

    def with_changes(self, **fields: Any) -> Self:
        """Return this protocol with other values, under a name that shows the changes: `vfs+radius=6+topk=5`.

        A change back to the source's value leaves the name again.

        Raises:
            TypeError: for a field that does not exist.
            ValueError: for a value out of range.
        """
        name = self.name
        for field, value in fields.items():
            if problem := self.misnamed(field):
                raise TypeError(problem)
            if _as_plain_type(value) != getattr(self, field):
                name += f"+{field}={_as_text(value)}"
        return dataclasses.replace(self, name=name, **fields)

    def brought_by_features(self, **fields: Any) -> Self:
        """Return this protocol with values that features have, such as their stride; the name shows what differs.

        Raises:
            ValueError: if the name changes a field to another value: the change would be dropped.
        """
        asked = self.changed
        for field, value in fields.items():
            if field in asked and getattr(self, field) != value:
                text = f"the features have {field} {_as_text(value)}: leave the change out, or choose other features"
                raise ValueError(f"protocol {self.name!r}: {text}")
        return self.with_changes(**fields)

    @property
    def changed(self) -> Mapping[str, str]:
        """Field → value, as text, of the changes in the name."""
        return self._split(self.name)[1]

    def fields(self) -> dict[str, Any]:
        """Return all fields as plain JSON types, for results.json."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def origin(self, benchmark: str, like: Sequence[str] = ()) -> dict[str, str]:
        """Return the source of this protocol, for results and reports.

        Args:
            benchmark: name of the benchmark.
            like: fallback benchmarks, see `named`.

        Returns:
            `code`, `note` (differences from the code) and `inferred` (values for this benchmark that the source does
            not state), without empty entries. The dictionary is empty if the protocol has no source.
        """
        source = self.sources().get(self._split(self.name)[0])
        if source is None:
            return {}
        known = next((name for name in (benchmark, *like) if name in source.values), benchmark)
        said = {"code": source.code, "note": source.note, "inferred": source.inferred.get(known, "")}
        return {key: text for key, text in said.items() if text}

    def shared(self) -> Self:
        """Return the part that two networks must share to be compared, with the source's values for `of_network`.

        `vfs+feature_stride=16` becomes `vfs`.
        """
        base, changes = self._split(self.name)
        name = "+".join([base, *(f"{field}={text}" for field, text in changes.items() if field not in self.of_network)])
        values = self._source_values()
        return dataclasses.replace(self, name=name, **{key: values[key] for key in self.of_network if key in values})

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of a SHA-256: equal if and only if all fields are equal (1 == 1.0).

        Fields at their default are left out, so that a new field keeps the digests of protocols that do not use it.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        changed = {key: value for key, value in vars(self).items() if key == "name" or value != defaults[key]}
        numbers_alike = json.loads(json.dumps(changed), parse_int=float)
        return hashlib.sha256(json.dumps(numbers_alike, sort_keys=True).encode()).hexdigest()[:12]

    @classmethod
    def misnamed(cls, field: str) -> str:
        """Return an error text that suggests the nearest field; empty if the field exists."""
        known = [known.name for known in dataclasses.fields(cls) if known.name != "name"]
        if field in known:
            return ""
        near = get_close_matches(field, known, 1)
        return f"a protocol has no field {field!r}" + (f"; did you mean {near[0]}?" if near else "")

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        """Return field → (whether its value fits the other fields, the condition in words)."""
        return {}

    def _source_values(self) -> dict[str, Any]:
        """Return the source's values for the benchmark that needs the fewest changes beyond the name's changes.

        A protocol without a source returns the defaults.
        """
        base, changes = self._split(self.name)
        defaults = {field.name: field.default for field in dataclasses.fields(self) if field.name != "name"}
        source = self.sources().get(base)
        candidates = [defaults | values for values in source.values.values()] if source else [defaults]

        def misfit(values: dict[str, Any]) -> tuple[int, int]:
            differing = self._differing(values)
            return len(differing - changes.keys()), len(changes.keys() - differing)

        return min(candidates, key=misfit)

    def _differing(self, values: Mapping[str, Any]) -> set[str]:
        return {field for field, value in values.items() if getattr(self, field) != _as_plain_type(value)}

    @classmethod
    def _split(cls, name: str) -> tuple[str, dict[str, str]]:
        """`vfs+topk=5` → (`vfs`, {`topk`: `5`}); a plus without a following `field=` belongs to the text before it.

        Raises:
            ValueError: for a change of an unknown field.
        """
        base, *pieces = re.split(r"\+(?=[^\W\d]\w*=)", name)
        changes = dict(piece.split("=", 1) for piece in pieces)
        if problem := next(filter(None, map(cls.misnamed, changes)), ""):
            raise ValueError(f"protocol {name!r}: {problem}")
        return base, changes

    def _error(self, field: str, expected: str) -> ValueError:
        return ValueError(f"protocol {self.name!r}: {field} must be {expected}, got {getattr(self, field)!r}")


def _as_text(value: Any) -> str:
    return ",".join(map(_as_text, value)) if isinstance(value, tuple) else str(value).lower()


def _as_value(text: str) -> Any:
    """Read a plain value as written by `_as_text` or JSON: `none`, `true`, `6`, `0.07`; other text stays text."""
    try:
        return json.loads("null" if text == "none" else text)
    except ValueError:
        return text


def _read(text: str, kind: Any) -> Any:
    """Return the value of a text in a name, of the annotation's type if possible."""
    readings = (_as_value(text), text, tuple(map(_as_value, text.split(",") if text else ())))
    return next((value for value in readings if not _misfit(value, kind)), readings[0])


def _as_plain_type(value: Any) -> Any:
    """Lists (of YAML and JSON) and ranges become tuples; numpy's numbers become Python's."""
    if isinstance(value, list | tuple | range):
        return tuple(_as_plain_type(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


_adapter = functools.cache(functools.partial(TypeAdapter, config=ConfigDict(strict=True, allow_inf_nan=False)))


def _misfit(value: Any, kind: Any) -> str:
    """Return the expected type or range in words if a value does not fit an annotation; values are not converted."""
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        lengths = {"too_long": "of another length", "missing": "of another length"}
        expected = [lengths.get(item["type"], item["msg"].removeprefix("Input should be ")) for item in error.errors()]
        if types.NoneType in get_args(kind):
            expected.append("None")
        return " or ".join(dict.fromkeys(expected))
    return ""
