from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.references import reference_frames
from tests.helpers.propagation import protocol
from tests.helpers.refusal import refused


def test_a_protocol_tells_its_origin():
    source = PropagationProtocol.sources()["vfs"]
    changed = PropagationProtocol.named("vfs", "vip").with_changes(topk=5)
    assert changed.origin("vip") == {"code": source.code, "inferred": source.inferred["vip"]}
    assert changed.origin("parts of my own", ["vip"]) == changed.origin("vip")
    assert PropagationProtocol.named("vfs").origin("davis") == {"code": source.code}
    assert PropagationProtocol.named("dino").origin("davis")["note"] == PropagationProtocol.sources()["dino"].note
    assert changed.with_changes(name="own").origin("vip") == {}


def test_bad_values():
    square = {"topk": None, "neighbourhood": "square"}
    mistakes = {
        "above 0 feature cells for a circle": {"radius": 0},
        "context must be 1 or more frames with .*padding": {"repeat_first": "padding", "context": 0},
        "0 or -1": {"references": (-3,)},
        "mixture_components must be .* at most its number": square | {"radius": 0.5, "mixture_components": 2},
        "border": {"border": "zero"},
        "first_frame_masked": {"topk": None, "first_frame_masked": False},
        "topk_ties": {"topk": None, "topk_ties": "kept"},
        "entering": {"entering": "own-context"},
    }
    for words, fields in mistakes.items():
        assert refused(ValueError, words, protocol, **fields)


def test_liirs_references_are_those_of_the_public_code(golden):
    rule = golden("liir_mast")["ref_index_rule0"]
    liir = PropagationProtocol.named("liir")
    for number, row in enumerate(rule):
        assert reference_frames(liir, number + 1) == [frame for frame in row.tolist() if frame >= 0]
