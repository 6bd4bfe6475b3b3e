import pytest

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.references import reference_frames
from tests.helpers.refusal import refused


def anonymous(**fields):
    return PropagationProtocol(**{"name": "x", "context": 4, "topk": 5, "temperature": 0.07, "radius": 4} | fields)


def test_a_protocol_tells_its_origin():
    source = PropagationProtocol.sources()["vfs"]
    changed = PropagationProtocol.named("vfs", "vip").with_changes(topk=5)
    assert changed.origin("vip") == {"code": source.code, "inferred": source.inferred["vip"]}
    assert changed.origin("parts of my own", ["vip"]) == changed.origin("vip")
    assert PropagationProtocol.named("vfs").origin("davis") == {"code": source.code}
    assert PropagationProtocol.named("dino").origin("davis")["note"] == PropagationProtocol.sources()["dino"].note
    assert changed.with_changes(name="own").origin("vip") == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"radius": 0}, "above 0 feature cells for a circle"),
        ({"repeat_first": "padding", "context": 0}, "context must be 1 or more frames with .*padding"),
        ({"references": (-3,)}, "0 or -1"),
        (
            {"topk": None, "neighbourhood": "square", "radius": 0.5, "mixture_components": 2},
            "mixture_components must be .* at most its number of cells",
        ),
        ({"border": "zero"}, "border"),
        ({"topk": None, "first_frame_masked": False}, "first_frame_masked"),
        ({"topk": None, "topk_ties": "kept"}, "topk_ties"),
        ({"entering": "own-context"}, "entering"),
    ],
)
def test_bad_values(fields, words):
    assert refused(ValueError, words, anonymous, **fields)


def test_references_frame_by_frame():
    vfs, padded = anonymous(context=2), anonymous(context=2, repeat_first="padding")
    assert [reference_frames(vfs, t) for t in (1, 2, 3)] == [[0, 0], [0, 0, 1], [0, 1, 2]]
    assert [reference_frames(padded, t) for t in (1, 2, 3)] == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    never = anonymous(context=2, repeat_first="never")
    assert [reference_frames(never, t) for t in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]
    liir = PropagationProtocol.named("liir")
    assert [reference_frames(liir, t) for t in (1, 3, 5, 6, 10)] == [
        [0], [0, 2], [0, 2, 4], [0, 1, 3, 5], [0, 5, 7, 9],
    ]  # fmt: skip


def test_liirs_references_are_those_of_the_public_code(golden):
    rule = golden("liir_mast")["ref_index_rule0"]
    liir = PropagationProtocol.named("liir")
    for number, row in enumerate(rule):
        assert reference_frames(liir, number + 1) == [frame for frame in row.tolist() if frame >= 0]
