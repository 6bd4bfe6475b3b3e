"""The protocols of each kind: a number that moves in a named one moves scores, and no other test might see it.

Also tests `protocols/boxes.py`, `protocols/masks.py`, `protocols/network_input.py`, `protocols/pairs.py`,
`protocols/points.py`, `protocols/surfaces.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.propagation import protocol
from tests.helpers.refusal import refused
from vidcorr import SiamFCTracker, TrackingProtocol
from vidcorr.backbones import RawColour
from vidcorr.protocols import JointProtocol, MatchingProtocol, PointProtocol, PropagationProtocol, SurfaceProtocol
from vidcorr.tracking.siamfc_tracker import Track

DIGESTS = {
    "vfs davis": "80fa73d00846", "vfs vip": "5d0df9c1bc1c", "vfs jhmdb": "f35162699dcb",
    "vfs-r50 davis": "5267efc1ddb0", "crw davis": "994cc12d50a0", "crw jhmdb": "910364e82be0",
    "crw vip": "4832335112d4", "dino davis": "e27499e0ccb7", "liir davis": "b6e29c0781b3",
    "liir youtube_vos": "7d70fb3fb803", "liir vip": "274b6740e498", "liir jhmdb": "a7ceb6b1b26c",
    "liir-reference davis": "00a0e09261d2", "cropmae davis": "23b48ac60416", "cropmae vip": "1147bbcd6c1d",
    "cropmae jhmdb": "a594f02ccad9", "rvm davis": "3b048983da67", "rvm vip": "0142701bd36b",
    "rvm jhmdb": "2f67bf4e8711", "catmae-16 davis": "dbcd9061e749", "catmae-8 davis": "1b83d359880b",
    "rsp davis": "268407dc5c92", "dift-sd davis": "c6286a1aca81", "dift-adm davis": "74ad83e46608",
    "dinov3 davis": "190a568460d0", "dinov3 youtube_vos": "6eefaa4e731a", "dinov3 mose": "6eefaa4e731a",
    "loftup davis": "e714391de1ab", "naf davis": "2985930457a5", "raysup davis": "7ded197ddf52",
    "hvc davis": "c22a80fea754", "spa-then-temp davis": "3d1e14ea6231", "spa-then-temp jhmdb": "5151acb48f93",
    "spa-then-temp vip": "0d270f2c4dff", "vidcorr davis": "0144296b8343", "vidcorr youtube_vos": "0144296b8343",
    "vidcorr vip": "80ce7afbf942", "vidcorr jhmdb": "09c3427ea12b", "fomo tap_vid": "af8a94e18eaa",
    "tapir-matching tap_vid": "f63c7348eae1", "gmrw-chained tap_vid": "66aebe39541f", "fgvc tap_vid": "dbd67bce7536",
    "omniprobe tap_vid": "7e104f9df499",
    "vidcorr-fast davis": "9906dd23cdaf", "vidcorr-fast youtube_vos": "9906dd23cdaf",
    "vidcorr-fast vip": "1f882862785b", "vidcorr-fast jhmdb": "c0c4c91d3ddc", "vidcorr tap_vid": "35e4abd8c4c9",
    "vidcorr-fast tap_vid": "7cdea10a9d9c",
    "vfs otb": "c638efa326fa",
}  # fmt: skip
"""Source and benchmark → digest. Stored results compare by them: they change only where a source was misread."""


OF_PAIRS = {
    "dift spair": "26bbd69ec527", "sd-dino spair": "29676af49570", "sd-dino pf_pascal": "6d1a9aecff68",
    "geoaware spair": "c3a77b1a3bdf", "geoaware pf_pascal": "743d6a9b9342", "insid3 spair": "c063f1e530b8",
    "probe3d spair": "26ee436e28d7", "vidcorr pf_willow": "75ff667fbba7", "omniprobe soco": "b8c8ffe09398",
    "omniprobe navi": "3bcf81d5e197", "omniprobe scannet": "ffdfa2586da3", "probe3d navi": "3d3824dae321",
    "probe3d scannet": "1bf4a5b23f0d",
}  # fmt: skip
"""The same for pairs of pictures; entries that are not named here are new."""


def digests(*kinds):
    found = {}
    for kind in kinds:
        for name, source in kind.sources().items():
            for benchmark in source.values:
                found[f"{name} {benchmark}"] = kind.named(name, benchmark).digest()
    return found


def test_no_named_protocol_changes():
    assert digests(PropagationProtocol, PointProtocol, TrackingProtocol) == DIGESTS
    of_pairs = digests(MatchingProtocol, SurfaceProtocol)
    assert {name: of_pairs.get(name) for name in OF_PAIRS} == OF_PAIRS


def test_another_stride_is_in_the_name_and_geometry_is_exact():
    assert TrackingProtocol().name == "vfs"
    tracker = SiamFCTracker(RawColour(stride=4))
    assert tracker.protocol.name == "vfs+dilated=false+response_size=none+stride=4"
    assert tracker.protocol.digest() != TrackingProtocol().digest()
    assert SiamFCTracker(RawColour(stride=8)).protocol == TrackingProtocol(dilated=False)
    # the target of a box is moved by whole cells: the response's peak is where the shift says
    track = Track(np.array([50.0, 50, 24, 24]), 48.0, torch.zeros(3, 30, 30))
    response = torch.zeros(1, 3, 35, 35)
    response[0, 1, 17 + 5, 17] = 1
    tracker.correlate = lambda *_: response
    tracker.step([track], np.zeros((9, 9, 3), np.uint8))
    pixel_of_response = 4 / 16 * 48 / 120  # two pixels beside the middle of a cell are its peak
    np.testing.assert_allclose(track.target[:2] - 50, [5 * 4 * 48 / 120, 0], atol=0.51 * pixel_of_response)


def test_a_window_in_pixels_is_one_choice_for_features_of_any_stride():
    in_pixels = protocol(radius=48, radius_unit="pixel")
    of_strides = [in_pixels.brought_by_features(feature_stride=stride) for stride in (4, 8)]
    assert [changed.radius_in_cells for changed in of_strides] == [12, 6]
    line = "features have feature_stride 8: leave the change out"
    refused(ValueError, line, of_strides[0].brought_by_features, feature_stride=8)
    assert {changed.shared() for changed in of_strides} == {in_pixels}
    assert protocol(radius=None, radius_unit="pixel").radius_in_cells is None


def test_a_protocol_tells_its_origin():
    source = PropagationProtocol.sources()["vfs"]
    changed = PropagationProtocol.named("vfs", "vip").with_changes(topk=5)
    assert changed.origin() == {"code": source.code, "inferred": source.inferred["vip"]}
    assert PropagationProtocol.named("vfs").origin() == {"code": source.code}
    notes = [PropagationProtocol.named(name).origin()["note"] for name in ("dino", "naf")]
    assert [note[:26] for note in notes] == ["In the original code an ob", "Both sides of the native f"]
    assert changed.with_changes(name="own").origin() == {}


HERE = Path(__file__)
KINDS = (PropagationProtocol, JointProtocol, PointProtocol, TrackingProtocol, MatchingProtocol, SurfaceProtocol)
BASES = {
    "propagation": protocol(),
    "propagation vip": PropagationProtocol.named("vfs", "vip"),
    "boxes": TrackingProtocol(),
    "points": PointProtocol("own", tracking="direct", decoding="argmax"),
    "surfaces": SurfaceProtocol.named("probe3d", "navi"),
    "matching": MatchingProtocol.named("dift", changes={"upsampling": "cells", "input_fit": "corner"}),
}
"""Kind in rules.json → the protocol that is changed."""


@pytest.mark.parametrize("kind", BASES)
def test_fields_that_do_not_fit_each_other_are_refused_and_the_nearest_that_do_are_not(kind):
    """Each entry of rules.json: the field that is refused, if any, and the changes."""
    for field, changes in json.loads(HERE.with_name("rules.json").read_text())[kind]:
        if field:
            refused(ValueError, f"': {field} must be", BASES[kind].with_changes, **changes)
        else:
            BASES[kind].with_changes(**changes)


def test_no_default_changes():
    """A digest leaves a field at its default out, so no digest would tell."""
    found = {}
    for kind in KINDS:
        found[kind.__name__] = {name: repr(field.default) for name, field in kind.model_fields.items()}
    assert found == json.loads(HERE.with_name("defaults.json").read_text())


def test_what_code_reads_of_a_protocol():
    boxes, surfaces, pairs = TrackingProtocol(), BASES["surfaces"], BASES["matching"].with_changes
    assert boxes.factors.tolist() == [1 / 1.0375, 1, 1.0375]
    assert boxes.with_changes(response_size=20).at_features(4, True).name == "vfs+response_size=20+stride=4"
    cells = [surfaces.with_changes(grid_step=8, depth_at=at).pixel_of_cell for at in ("first", "centre")]
    assert cells == [slice(0, None, 8), slice(4, None, 8)]
    assert pairs(input_size=64).input_sides == (64, 64)
    assert pairs(input_size=(64, 96), input_fit="stretched").input_sides == (64, 96)
    changes = {"context": 7, "matches": 8, "temperature": 0.3, "radius": 9.0, "feature_normalisation": "raw"}
    maps = BASES["points"].with_changes(tracking="propagation", decoding="topk", **changes).propagation()
    assert maps == PropagationProtocol("points", topk=changes.pop("matches"), **changes)
