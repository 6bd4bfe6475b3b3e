"""What moves a score when labels are propagated, as one frozen record, and the values that each source defines."""

import dataclasses
import hashlib
import json
import math
from typing import Any, Literal, Self

BENCHMARKS = ("davis", "youtube_vos", "vip", "jhmdb")


@dataclasses.dataclass(frozen=True, kw_only=False)
class PropagationProtocol:
    """Every number and rule that moves a label-propagation score.

    A name of a source (`vfs`, `crw`, `dino`, `liir`, …) belongs to the values of that source: the constructor refuses
    it with any other values. `with_changes` names what was changed (`vfs+topk=5`); results carry name, fields and
    `digest()`.

    Attributes:
        name: free, except for the names of `named` and what `with_changes` makes of them.
        context: number of preceding frames that are references beside the first one; 0 or more.
        topk: matches kept per query over all reference frames together; the softmax is over these. None: all.
        temperature: divides the dot products before the softmax; above 0.
        radius: of the neighbourhood, in feature cells; None: everywhere.
        neighbourhood: "circle" keeps Euclidean distance < radius, "square" keeps |dy| and |dx| <= radius.
        first_frame_masked: whether the neighbourhood also restricts the lasting copy of frame 0.
        repeat_first: "in_window": frame 0 counts once more while it is among the preceding frames (VFS); "padding":
            also once more for every preceding frame before the start of the video (CRW); "never": once (DINO).
        references: frame numbers that replace first + context: >= 0 absolute, < 0 relative to the current frame; those
            before frame 0 or not yet seen are left out, and each frame counts once.
        mixture_components: number of Gaussians that replace each reference's window (Liir, Eq. 7); None: off.
        mixture_threshold: only windows whose largest weight is above it are replaced.
        mixture_width: "fixed": full width at half maximum of 1 cell; "moments": second moment of the affinity.
        normalise_labels: divide propagated labels by their sum over the channels at each place.
        foreground_gain: factor on the propagated channels 1…; 1 is off.
        border: of the window outside the map: "exclude" leaves it out, "zero" gives it logit 0 and no label.
        feature_normalisation: "l2" over the channels (eps 1e-12) or "raw".
        feature_stride: input pixels per feature cell.
        precision: data type of features and labels while they propagate.
        label_encoding: annotation to feature grid: "nearest" (Pillow's pixel), "bilinear" (of the one-hot map), or
            "strided" (every feature_stride-th pixel from the corner).
        label_feedback: "soft" labels, or "hard": the argmax at input size, sampled as by "strided".
        label_rescaling: min-max of each up-sampled channel over the image before the argmax, where its maximum is > 0.
        decoding_size: the argmax is taken at the "annotation" size, or at the "input" size (feature map times stride),
            whose result is then resized by nearest pixel.
        input_sizing: "native"; "short-480" (short side 480, long side floored to a multiple of 64); "short-240" (short
            side 240, aspect kept); "320x320"; "pad-4" (padded to a multiple of 4).
        rgb_std: standard deviation of the RGB normalisation where the source departs from the module's own.
        keypoint_sigma: standard deviation of a joint's Gaussian.
        keypoint_unit: of keypoint_sigma: "pixel" of the input or "cell" of the feature map.
        keypoint_topk: number of best places whose weighted mean is the joint.
        keypoint_grid: where these places are sought: the "input" size (up-sampled bilinearly) or the "feature" map.
        keypoint_counting: which joints count: "prediction-visible" (VFS: predicted x > 0, frame 0 included), "crw"
            (predicted x >= 0, frame 0 excluded), "ground-truth" (annotated inside the picture, frame 0 excluded).

    Raises:
        ValueError: for a value out of range, or a source's name with other values than the source's.
    """

    name: str
    context: int
    topk: int | None
    temperature: float
    radius: float | None
    neighbourhood: Literal["circle", "square"] = "circle"
    first_frame_masked: bool = True
    repeat_first: Literal["in_window", "padding", "never"] = "in_window"
    references: tuple[int, ...] | None = None
    mixture_components: int | None = None
    mixture_threshold: float = 0.1
    mixture_width: Literal["fixed", "moments"] = "fixed"
    normalise_labels: bool = False
    foreground_gain: float = 1.0
    border: Literal["exclude", "zero"] = "exclude"
    feature_normalisation: Literal["l2", "raw"] = "l2"
    feature_stride: int = 8
    precision: Literal["float32", "float64", "float16", "bfloat16"] = "float32"
    label_encoding: Literal["nearest", "bilinear", "strided"] = "nearest"
    label_feedback: Literal["soft", "hard"] = "soft"
    label_rescaling: bool = True
    decoding_size: Literal["annotation", "input"] = "annotation"
    input_sizing: Literal["native", "short-480", "short-240", "320x320", "pad-4"] = "native"
    rgb_std: tuple[float, float, float] | None = None
    keypoint_sigma: float = 4.0
    keypoint_unit: Literal["pixel", "cell"] = "pixel"
    keypoint_topk: int = 5
    keypoint_grid: Literal["input", "feature"] = "input"
    keypoint_counting: Literal["prediction-visible", "crw", "ground-truth"] = "prediction-visible"

    def __post_init__(self) -> None:
        for field in ("references", "rgb_std"):  # a YAML file or JSON gives lists
            if isinstance(value := getattr(self, field), list):
                object.__setattr__(self, field, tuple(value))
        _check_ranges(self)
        _check_choices(self)
        _check_name(self.name, self._values())

    @classmethod
    def named(cls, name: str, benchmark: str = "davis") -> Self:
        """The protocol that a source defines for a benchmark.

        Args:
            name: one of `vfs`, `vfs-r50`, `crw`, `dino`, `liir`, `liir-reference`, `vidcorr`. The last holds this
                project's own choices, for every benchmark.
            benchmark: one of `davis`, `youtube_vos`, `vip`, `jhmdb`.

        Raises:
            ValueError: for an unknown name, and where the source defines no values for the benchmark.
        """
        if benchmark not in BENCHMARKS:
            raise ValueError(f"unknown benchmark {benchmark!r}: expected one of {', '.join(BENCHMARKS)}")
        if name not in _SOURCES:
            raise ValueError(f"unknown protocol {name!r}: expected one of {', '.join(_SOURCES)}")
        if benchmark not in _SOURCES[name]:
            raise ValueError(
                f"the source of protocol {name!r} defines no values for {benchmark!r} "
                f"(only for {', '.join(_SOURCES[name])}); use 'vidcorr', which holds this project's own choice"
            )
        return cls(name=name, **_SOURCES[name][benchmark])

    def with_changes(self, **fields: Any) -> Self:
        """This protocol with other values, under a name that says what changed: `vfs+radius=6+topk=5`.

        A change back to the source's value leaves the name again. Pass `name` to give a name of your own.

        Raises:
            TypeError: for a field that does not exist.
            ValueError: for a value out of range.
        """
        if unknown := sorted(set(fields) - {field.name for field in dataclasses.fields(self)}):
            raise TypeError(f"a protocol has no field {', '.join(unknown)}")
        if "name" in fields:
            return dataclasses.replace(self, **fields)
        base, changes = _split_name(self.name)
        changes |= {field: _as_text(value) for field, value in fields.items() if value != getattr(self, field)}
        values = self._values() | fields
        for own in _SOURCES.get(base, {}).values():
            if _differences(values, own) <= changes.keys():
                changes = {field: changes[field] for field in _differences(values, own)}
                break
        return dataclasses.replace(self, name=_join_name(base, changes), **fields)

    def fields(self) -> dict[str, Any]:
        """All fields as plain JSON types, for results.json."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all fields: equal if and only if every field is."""
        canonical = json.dumps(_plain(dataclasses.asdict(self)), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "name"}


_VFS = {"context": 20, "topk": 10, "temperature": 0.07, "radius": 12}
_CRW = {
    "context": 20,
    "topk": 10,
    "temperature": 0.05,
    "radius": 12,
    "first_frame_masked": False,
    "repeat_first": "padding",
    "label_encoding": "bilinear",
    "label_rescaling": False,
    "keypoint_sigma": 0.5,
    "keypoint_unit": "cell",
    "keypoint_topk": 3,
    "keypoint_grid": "feature",
    "keypoint_counting": "crw",
}
_DINO = {
    "context": 7,
    "topk": 5,
    "temperature": 0.1,
    "radius": 12,
    "neighbourhood": "square",
    "repeat_first": "never",
    "decoding_size": "input",
    "input_sizing": "short-480",
    "rgb_std": (0.228, 0.224, 0.225),
}
_LIIR = {
    "context": 0,
    "topk": None,
    "temperature": 1.0,
    "radius": 14,
    "neighbourhood": "square",
    "repeat_first": "never",
    "references": (0, 5, -5, -3, -1),
    "mixture_components": 2,
    "normalise_labels": True,
    "feature_normalisation": "raw",
    "feature_stride": 4,
    "label_encoding": "strided",
    "label_rescaling": False,
    "input_sizing": "pad-4",
}
_JHMDB = {"input_sizing": "320x320", "label_encoding": "bilinear"}
_OWN_JHMDB = _JHMDB | {"keypoint_counting": "ground-truth"}

# Sources: VFS, Table A.1 and the released configs; CRW, README; DINO, eval_video_segmentation.py; Liir, section 4.1
# and the public reproduction. `vidcorr`: this project's choice, VFS's numbers wherever a source has none.
_SOURCES: dict[str, dict[str, dict[str, Any]]] = {
    "vfs": {
        "davis": _VFS,
        "vip": _VFS | {"context": 8, "radius": 20},
        "jhmdb": _VFS | {"context": 4, "radius": 20} | _JHMDB,
    },
    "vfs-r50": {"davis": _VFS | {"radius": 18}},
    "crw": {"davis": _CRW},
    "dino": {"davis": _DINO},
    "liir": {"davis": _LIIR},
    "liir-reference": {
        "davis": _LIIR
        | {"normalise_labels": False, "foreground_gain": 1.05, "label_feedback": "hard", "border": "zero"},
    },
    "vidcorr": {
        "davis": _VFS,
        "youtube_vos": _VFS,
        "vip": _VFS | {"context": 8, "radius": 20},
        "jhmdb": _VFS | {"context": 4, "radius": 20} | _OWN_JHMDB,
    },
}


def _check_ranges(protocol: PropagationProtocol) -> None:
    """Raise for a number out of its range."""
    circle = protocol.neighbourhood == "circle"
    conditions = {
        "name": (bool(protocol.name), "not empty"),
        "context": (protocol.context >= 0, "0 or more frames"),
        "topk": (protocol.topk is None or protocol.topk >= 1, "1 or more, or None for all"),
        "temperature": (protocol.temperature > 0 and math.isfinite(protocol.temperature), "above 0"),
        "radius": (
            protocol.radius is None or (protocol.radius > 0 if circle else protocol.radius >= 0),
            f"{'above 0' if circle else '0 or more'} feature cells for a {protocol.neighbourhood}, or None",
        ),
        "references": (
            protocol.references is None or {0, -1} & set(protocol.references),
            "frame numbers with 0 or -1 among them, or None",
        ),
        "first_frame_masked": (
            protocol.first_frame_masked or protocol.topk is not None or protocol.radius is None,
            "True without a topk",
        ),
        "mixture_components": (
            protocol.mixture_components is None
            or (
                protocol.mixture_components >= 1
                and protocol.topk is None
                and protocol.radius is not None
                and not circle
            ),
            "1 or more with topk=None and a square neighbourhood, or None",
        ),
        "border": (
            protocol.border == "exclude" or (protocol.topk is None and protocol.radius is not None and not circle),
            "'exclude' unless the neighbourhood is a square with topk=None",
        ),
        "mixture_threshold": (0 <= protocol.mixture_threshold <= 1, "in [0, 1]"),
        "foreground_gain": (protocol.foreground_gain > 0, "above 0"),
        "feature_stride": (protocol.feature_stride >= 1, "1 or more pixels"),
        "rgb_std": (
            protocol.rgb_std is None or (len(protocol.rgb_std) == 3 and min(protocol.rgb_std) > 0),
            "three positive numbers, or None",
        ),
        "keypoint_sigma": (protocol.keypoint_sigma > 0, "above 0"),
        "keypoint_topk": (protocol.keypoint_topk >= 1, "1 or more"),
    }
    for field, (holds, expected) in conditions.items():
        if not holds:
            raise ValueError(
                f"protocol {protocol.name!r}: {field} must be {expected}, got {getattr(protocol, field)!r}"
            )
    if protocol.context == 0 and protocol.references is None and protocol.repeat_first == "padding":
        raise ValueError(f"protocol {protocol.name!r}: repeat_first='padding' needs context of 1 or more, got 0")


def _check_choices(protocol: PropagationProtocol) -> None:
    """Raise for a string that is none of its field's choices."""
    for field in dataclasses.fields(protocol):
        choices = getattr(field.type, "__args__", ())
        if getattr(field.type, "__origin__", None) is Literal and getattr(protocol, field.name) not in choices:
            raise ValueError(
                f"protocol {protocol.name!r}: {field.name} must be one of {', '.join(choices)}, "
                f"got {getattr(protocol, field.name)!r}"
            )


def _check_name(name: str, values: dict[str, Any]) -> None:
    """Raise if a source's name, with the changes that it lists, does not belong to these values."""
    base, changes = _split_name(name)
    wrong = [field for field, text in changes.items() if field not in values or _as_text(values[field]) != text]
    own_tables = _SOURCES.get(base, {}).values()
    if wrong or (own_tables and not any(_differences(values, own) == changes.keys() for own in own_tables)):
        raise ValueError(
            f"the name {name!r} belongs to other values than those given; "
            "take `with_changes(…)`, which names what it changes, or choose another name"
        )


def _differences(values: dict[str, Any], own: dict[str, Any]) -> set[str]:
    """Fields whose value is not that of a source's table, defaults included."""
    defaults = {f.name: f.default for f in dataclasses.fields(PropagationProtocol) if f.name in values}
    return {field for field, value in values.items() if value != (defaults | own)[field]}


def _split_name(name: str) -> tuple[str, dict[str, str]]:
    """`vfs+topk=5` → (`vfs`, {`topk`: `5`}); a name of another form is all base."""
    base, *pieces = name.split("+")
    if all("=" in piece for piece in pieces):
        return base, dict(piece.split("=", 1) for piece in pieces)
    return name, {}


def _join_name(base: str, changes: dict[str, str]) -> str:
    return "+".join([base, *(f"{field}={text}" for field, text in sorted(changes.items()))])


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value).lower()


def _plain(value: Any) -> Any:
    """Equal values in equal spelling: 12 and 12.0 are the same radius."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
