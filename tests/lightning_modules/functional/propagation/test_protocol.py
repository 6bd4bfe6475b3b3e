import dataclasses
import json
from typing import Any

import pytest

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.references import reference_frames
from lightning_modules.functional.propagation.sources import SOURCES


def anonymous(**fields: Any) -> PropagationProtocol:
    return PropagationProtocol(**{"name": "x", "context": 4, "topk": 5, "temperature": 0.07, "radius": 4} | fields)


@pytest.mark.parametrize(
    ("name", "benchmark", "numbers"),
    [
        ("vfs", "davis", (20, 10, 0.07, 12, "circle", True, "in_window")),
        ("vfs-r50", "davis", (20, 10, 0.07, 18, "circle", True, "in_window")),
        ("vfs", "vip", (8, 10, 0.07, 20, "circle", True, "in_window")),
        ("vfs", "jhmdb", (4, 10, 0.07, 20, "circle", True, "in_window")),
        ("crw", "davis", (20, 10, 0.05, 12, "circle", False, "padding")),
        ("dino", "davis", (7, 5, 0.1, 12, "square", True, "never")),
        ("liir", "davis", (0, None, 1, 14, "square", True, "never")),
    ],
)
def test_the_numbers_of_the_sources(name: str, benchmark: str, numbers: tuple[Any, ...]) -> None:
    protocol = PropagationProtocol.named(name, benchmark)
    fields = ("context", "topk", "temperature", "radius", "neighbourhood", "first_frame_masked", "repeat_first")
    assert tuple(getattr(protocol, field) for field in fields) == numbers


def test_fields_may_be_given_in_their_documented_order() -> None:
    given = PropagationProtocol("x", 4, 5, 0.07, 4, "square", False, "padding", (0, -1), None)
    names = ("neighbourhood", "first_frame_masked", "repeat_first", "references", "mixture_components")
    assert [getattr(given, name) for name in names] == ["square", False, "padding", (0, -1), None]


def test_what_else_the_sources_do() -> None:
    vfs, crw, dino = (PropagationProtocol.named(name) for name in ("vfs", "crw", "dino"))
    assert (vfs.label_encoding, vfs.label_rescaling, vfs.decoding_size) == ("nearest", True, "annotation")
    assert (crw.label_encoding, crw.label_rescaling, crw.decoding_size) == ("bilinear", False, "annotation")
    assert (dino.label_encoding, dino.label_rescaling, dino.decoding_size) == ("nearest", True, "input")
    assert (dino.input_filter, dino.rgb_std) == ("opencv-linear", (0.228, 0.224, 0.225))
    assert (dino.input_side, dino.input_multiple, dino.input_rounding) == ("short", 64, "floor")
    liir, reference = PropagationProtocol.named("liir"), PropagationProtocol.named("liir-reference")
    assert (liir.references, liir.feature_normalisation, liir.feature_stride) == ((0, 5, -5, -3, -1), "raw", 4)
    assert (liir.label_feedback, liir.foreground_gain, liir.border) == ("soft", 1.0, "exclude")
    assert (reference.label_feedback, reference.foreground_gain, reference.border) == ("hard", 1.05, "zero")


def test_a_later_field_at_its_default_leaves_digests() -> None:
    """Digests of before `backbone_precision`; results that are stored compare by them."""
    before = {("vfs", "davis"): "80fa73d00846", ("liir", "davis"): "b6e29c0781b3", ("vidcorr", "jhmdb"): "b58d0dfb64bf"}
    assert {key: PropagationProtocol.named(*key).digest() for key in before} == before
    half = PropagationProtocol.named("vfs").with_changes(backbone_precision="bfloat16")
    assert half.name == "vfs+backbone_precision=bfloat16"
    assert half.digest() != before["vfs", "davis"]


def test_own_choices_exist_for_every_benchmark_and_nowhere_else() -> None:
    for benchmark in ("davis", "youtube_vos", "vip", "jhmdb"):
        assert PropagationProtocol.named("vidcorr", benchmark).name == "vidcorr"
    with pytest.raises(
        ValueError, match=r"'vfs' defines no values for 'youtube_vos' .*; use one of liir, dinov3, vidcorr"
    ):
        PropagationProtocol.named("vfs", "youtube_vos")
    with pytest.raises(ValueError, match="liir-reference"):
        PropagationProtocol.named("vfs2")


def test_input_sizes_of_the_named_protocols() -> None:
    """Pinned here, apart from the tables: a wrong size moves every score and no other test sees it."""
    sizes: dict[tuple[str, str], Any] = {
        (name, benchmark): PropagationProtocol.named(name, benchmark).input_size
        for name, source in SOURCES.items()
        for benchmark in source.values
    }
    davis = {
        "vfs": None, "vfs-r50": None, "crw": None, "hvc": None, "spa-then-temp": None, "liir": None,
        "liir-reference": None, "vidcorr": None, "dino": 480, "rsp": 480, "dift-sd": 480, "dift-adm": 480,
        "dinov3": 960, "cropmae": (480, 880), "catmae-16": (480, 880), "catmae-8": (480, 880), "rvm": (480, 880),
    }  # fmt: skip
    vip = {
        "vfs": (560, 560), "liir": (560, 560), "spa-then-temp": (560, 560), "crw": (320, 320), "cropmae": 880,
        "rvm": (448, 880), "vidcorr": None,
    }  # fmt: skip
    joints = dict.fromkeys(("vfs", "liir", "spa-then-temp", "crw", "cropmae", "rvm", "vidcorr"), (320, 320))
    others = {("liir", "youtube_vos"): 480, ("vidcorr", "youtube_vos"): None}
    others |= {("dinov3", "youtube_vos"): 960, ("dinov3", "mose"): 960}
    tables = {"davis": davis, "vip": vip, "jhmdb": joints}
    assert sizes == others | {(name, b): size for b, table in tables.items() for name, size in table.items()}
    liir = PropagationProtocol.named("liir")
    assert (liir.input_padding, PropagationProtocol.named("liir-reference").input_padding) == (4, 4)
    cropmae = PropagationProtocol.named("cropmae", "vip")
    assert (cropmae.input_side, cropmae.input_multiple, cropmae.input_rounding) == ("long", 64, "floor")
    dino, dift = PropagationProtocol.named("dino"), PropagationProtocol.named("dift-sd")
    assert (dino.input_multiple, dift.input_multiple, dino.input_rounding) == (64, 32, "floor")
    dinov3 = PropagationProtocol.named("dinov3")
    assert (dinov3.input_multiple, dinov3.input_rounding) == (16, "ceil")
    copies = {name for name in SOURCES if PropagationProtocol.named(name).resized_data}
    assert copies == {"cropmae", "catmae-16", "catmae-8", "rsp"}


def test_a_protocol_tells_its_origin() -> None:
    source = SOURCES["vfs"]
    changed = PropagationProtocol.named("vfs", "vip").with_changes(topk=5)
    assert changed.origin("vip") == {"code": source.code, "inferred": source.inferred["vip"]}
    assert changed.origin("parts of my own", ["vip"]) == changed.origin("vip")
    assert PropagationProtocol.named("vfs").origin("davis") == {"code": source.code}
    assert PropagationProtocol.named("dino").origin("davis")["note"] == SOURCES["dino"].note
    assert changed.with_changes(name="own").origin("vip") == {}


def test_what_a_source_does_not_state_is_said_to_be_inferred() -> None:
    for name, benchmark in [("vfs", "vip"), ("vfs", "jhmdb"), *(("liir", b) for b in ("youtube_vos", "vip", "jhmdb"))]:
        assert "input_size" in SOURCES[name].inferred[benchmark]
    for name, source in SOURCES.items():
        assert source.inferred.keys() <= source.values.keys(), name
        assert source.code, name


def test_liir_is_the_same_on_all_data_sets_but_for_size_and_joints() -> None:
    liir = PropagationProtocol.named("liir").with_changes(name="x", input_size=None, input_filter="bilinear")
    for benchmark in ("youtube_vos", "vip", "jhmdb"):
        other = PropagationProtocol.named("liir", benchmark)
        assert other.normalise_by == ("weights" if benchmark == "jhmdb" else "labels")
        same = {"input_size": None, "input_filter": "bilinear", "normalise_by": "labels"}
        assert other.with_changes(name="x", **same) == liir


def test_every_rule_is_in_the_digest() -> None:
    protocol = anonymous()
    others: dict[str, Any] = {
        "name": "y", "context": 3, "topk": None, "topk_ties": "kept", "temperature": 0.08,
        "radius": None, "neighbourhood": "square",
        "first_frame_masked": False, "repeat_first": "never", "references": [0, -1], "mixture_threshold": 0.2,
        "mixture_width": "moments", "normalise_labels": True, "normalise_by": "weights",
        "foreground_gain": 1.05, "feature_normalisation": "raw",
        "feature_stride": 4, "precision": "bfloat16", "label_encoding": "strided", "label_feedback": "hard",
        "label_rescaling": False, "label_rescaling_floor": 0.1, "decoding_size": "input", "decoding_filter": "nearest",
        "decoding_nearest": "opencv", "first_frame": "decoded", "label_size": "input", "resized_data": [4, 4],
        "input_size": 240, "input_side": "long", "input_multiple": 8, "input_rounding": "ceil", "input_padding": 4,
        "input_filter": "opencv-linear", "position_embedding": "dino",
        "rgb_mean": [0.2, 0.2, 0.2], "rgb_std": [0.2, 0.2, 0.2], "backbone_precision": "bfloat16",
        "keypoint_sigma": 0.5, "keypoint_unit": "cell", "keypoint_topk": 3, "keypoint_grid": "feature",
        "keypoint_counting": "crw",
    }  # fmt: skip
    rest = {"mixture_components", "border", "entering"}  # these need other fields as well
    assert others.keys() | rest == {field.name for field in dataclasses.fields(protocol)}
    digests = {anonymous(**{field: value}).digest() for field, value in others.items()}
    liir = PropagationProtocol.named("liir")
    digests |= {liir.with_changes(name="x", **{field: value}).digest() for field, value in (("border", "zero"),)}
    assert len(digests | {protocol.digest(), liir.digest()}) == len(others) + 3


def test_fields_go_through_json() -> None:
    protocol = PropagationProtocol.named("dino")
    again = PropagationProtocol(**json.loads(json.dumps(protocol.fields())))
    assert again == protocol
    assert again.digest() == protocol.digest()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"context": -1}, "context must be greater than or equal to 0, got -1"),
        ({"topk": 0}, "topk"),
        ({"temperature": 0.0}, "temperature"),
        ({"radius": 0}, "above 0 feature cells for a circle"),
        ({"radius": -1, "neighbourhood": "square"}, "radius must be greater than or equal to 0 or None, got -1"),
        ({"neighbourhood": "round"}, "'circle', 'disc' or 'square'"),
        ({"repeat_first": "padding", "context": 0}, "context must be 1 or more frames with .*padding"),
        ({"references": ()}, "references"),
        ({"references": (-3,)}, "0 or -1"),
        ({"mixture_components": 2}, "mixture_components"),
        (
            {"topk": None, "neighbourhood": "square", "radius": 0.5, "mixture_components": 2},
            "mixture_components must be .* at most its number of cells",
        ),
        ({"border": "zero"}, "border"),
        ({"topk": None, "first_frame_masked": False}, "first_frame_masked"),
        ({"rgb_std": (1.0, 0.0, 1.0)}, "rgb_std"),
        ({"precision": "int8"}, "'float32', 'float64'"),
        ({"keypoint_topk": 0}, "keypoint_topk"),
        ({"name": ""}, "name"),
    ],
)
def test_bad_values(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        anonymous(**fields)


def test_references_frame_by_frame() -> None:
    vfs, padded = anonymous(context=2), anonymous(context=2, repeat_first="padding")
    assert [reference_frames(vfs, t) for t in (1, 2, 3)] == [[0, 0], [0, 0, 1], [0, 1, 2]]
    assert [reference_frames(padded, t) for t in (1, 2, 3)] == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    never = anonymous(context=2, repeat_first="never")
    assert [reference_frames(never, t) for t in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]
    liir = PropagationProtocol.named("liir")
    assert [reference_frames(liir, t) for t in (1, 3, 5, 6, 10)] == [
        [0], [0, 2], [0, 2, 4], [0, 1, 3, 5], [0, 5, 7, 9],
    ]  # fmt: skip


def test_liirs_references_are_those_of_the_public_code(golden: Any) -> None:
    rule = golden("liir_mast")["ref_index_rule0"]
    liir = PropagationProtocol.named("liir")
    for number, row in enumerate(rule):
        assert reference_frames(liir, number + 1) == [frame for frame in row.tolist() if frame >= 0]
