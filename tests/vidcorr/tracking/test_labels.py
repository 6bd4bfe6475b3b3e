"""The engine of label propagation: the view of the extractor, the input's size, padding that is cut."""

import pytest
import torch
import torch.nn.functional as F

from tests.helpers.masks import read_masks
from tests.helpers.refusal import refused
from tests.helpers.still_videos import write_still_davis
from vidcorr import DavisBenchmark, YoutubeVosBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.functional import LabelPropagator, decode_masks, encode_masks
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding, follow_labels

NEAREST = {"topk": 1, "radius": None}


def halves(height, width):
    """Ids of a frame whose lower half is object 1."""
    ids = torch.zeros(height, width, dtype=torch.uint8)
    ids[height // 2 :] = 1
    return ids


@pytest.mark.parametrize(("precision", "around"), [("float32", True), ("bfloat16", False)])
def test_the_backbone_runs_in_the_protocols_precision_whatever_surrounds_it(precision, around):
    extractor, types = torch.nn.Conv2d(3, 8, 4, 4), []
    extractor.stride = 4
    extractor.register_forward_hook(lambda module, images, features: types.append(features.dtype))
    protocol = PropagationProtocol.named("vfs").with_changes(backbone_precision=precision)
    encoder = FrameEncoder(extractor, protocol)
    assert encoder.grid == (0, 0)
    frames = [(torch.randint(256, (3, 32, 40), dtype=torch.uint8), None if t else halves(32, 40)) for t in range(3)]
    with torch.autocast("cpu", torch.bfloat16, enabled=around):
        coding = MaskCoding(encoder, (32, 40), (32, 40), {1: 0})
        labels = [frame.labels for frame in follow_labels(frames, coding)]
    assert types == [getattr(torch, precision)] * 3
    assert {each.dtype for each in labels} == {torch.float32}
    image = frames[0][0][None].float() / 255
    found, exact = next(encoder.maps([frames[0][0]])), extractor(image)[0]
    torch.testing.assert_close(found, exact, **({"atol": 2e-2, "rtol": 2e-2} if precision == "bfloat16" else {}))


@pytest.mark.parametrize(("at_once", "size"), [(2, (45, 61)), (10, (48, 64))])
def test_frames_in_chunks_give_the_same_labels_and_masks(at_once, size, monkeypatch):
    """Padding and resizing included; an object enters with frame 2, in the middle of a chunk."""
    extractor = build_feature_extractor("tests.helpers.encoders:TinyResNet", "res4", 8)
    protocol = PropagationProtocol.named("vfs").with_changes(context=2, input_size=48, input_padding=16)
    frames, second = torch.randint(256, (7, 3, *size), dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    second[30:45, 20:40] = 2
    given = [halves(*size), None, second, None, None, None, None]
    runs = []
    for number in (1, at_once):
        monkeypatch.setattr(FrameEncoder, "frames_at_once", lambda self, size, number=number: number)
        coding = MaskCoding(FrameEncoder(extractor, protocol), size, size, {1: 0, 2: 2})
        runs.append(list(follow_labels(zip(frames, given, strict=True), coding)))
    assert torch.equal(runs[0][0].decoded, given[0])
    assert torch.equal(runs[0][2].decoded == 2, second == 2)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.frame, other.frame)
        for kind in ("labels", "decoded"):
            torch.testing.assert_close(getattr(one, kind), getattr(other, kind), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("first_frame", "label_size"), [("given", "input"), ("decoded", "annotation")])
def test_the_protocol_says_how_masks_are_coded(first_frame, label_size):
    """The first mask is given or decoded, with edges that no cell holds, and labels are made at the size it names."""
    frames, ids = torch.randint(256, (2, 3, 48, 64), dtype=torch.uint8), torch.zeros(48, 64, dtype=torch.uint8)
    ids[5:29, 11:43] = 1
    sizes = {"label_size": label_size, "label_encoding": "bilinear", "input_size": (40, 80), "decoding_size": "input"}
    protocol = PropagationProtocol("x", 2, 5, 0.1, 3, first_frame=first_frame, **sizes)
    encoder = FrameEncoder(build_feature_extractor("raw_colour"), protocol)
    annotated = zip(frames, [ids, None], strict=True)
    first, _ = follow_labels(annotated, MaskCoding(encoder, (48, 64), (48, 64), {1: 0}))
    labels = encode_masks(ids, [1], (5, 10), protocol)
    torch.testing.assert_close(first.labels, labels)
    decoded = decode_masks(labels, [1], protocol, (48, 64), (48, 64))
    assert not torch.equal(decoded, ids)
    assert torch.equal(first.decoded, ids if first_frame == "given" else decoded)


STRIDED = {"label_encoding": "strided", "label_rescaling": False, "feature_stride": 4, "input_padding": 4}


@pytest.mark.parametrize(("side", "changes", "size"), [(8, {}, (40, 61)), (4, STRIDED, (33, 49))])
def test_what_was_padded_is_cut_again(tmp_path, side, changes, size):
    """For complete patches, or as Liir's protocol says, whose labels are every fourth pixel."""
    patches = torch.nn.AvgPool2d(8)
    patches.multiple = 8
    extractor = build_feature_extractor("tests.helpers.encoders:Blocky" if changes else patches)
    benchmark = DavisBenchmark(write_still_davis(tmp_path / "davis", size), changes=NEAREST | changes)
    benchmark.evaluate(extractor, tmp_path / "out")
    (sequence,) = benchmark.sequences
    mask, whole = sequence.read_mask(0), tuple(-(-length // side) * side for length in size)
    padded = F.pad(mask, (0, whole[1] - size[1], 0, whole[0] - size[0]))
    labels = encode_masks(padded, sequence.objects, (whole[0] // side, whole[1] // side), benchmark.protocol)
    expected = decode_masks(labels, sequence.objects, benchmark.protocol, whole, size)
    first, *others = read_masks(tmp_path / "out/predictions/still")
    assert torch.equal(first, mask)
    assert set(expected.unique().tolist()) == {0, 1, 2}
    assert all(torch.equal(other, expected) for other in others)


def test_an_extractor_that_normalises_nothing_gets_rgb_in_0_to_1_and_the_protocol_says_so(davis_root):
    seen, own = [], torch.nn.AvgPool2d(16)
    own.register_forward_pre_hook(lambda module, images: seen.append(images[0].aminmax()))
    result = DavisBenchmark(davis_root, protocol="dino", limit_sequences=1).evaluate(own)
    assert result.stage.protocol.name == "dino+feature_stride=16+rgb_mean=none+rgb_std=none"
    assert all(0 <= low < high <= 1 for low, high in seen)


def test_a_map_without_places_is_refused():
    encoder = FrameEncoder(build_feature_extractor("raw_colour", stride=8), PropagationProtocol.named("vfs"))
    frames = [(torch.zeros(3, 16, 16, dtype=torch.uint8), halves(16, 16))]
    tracked = follow_labels(frames, MaskCoding(encoder, (16, 16), (16, 16), {1: 0}))
    refused(ValueError, "colour: 2 x 2 cells, too few", list, tracked)


def test_a_users_benchmark_under_a_new_name_works_with_defaults():
    class MyClips(YoutubeVosBenchmark):
        name = "my_clips"

    assert MyClips("anywhere").protocol == PropagationProtocol.named("vidcorr-fast", "youtube_vos")
    refused(ValueError, "'vfs' defines no values for 'youtube_vos'", MyClips, "anywhere", protocol="vfs")


def test_a_users_propagation_is_named_by_the_benchmark(davis_root):
    class Still(LabelPropagator):
        def step(self, features, entering=None):
            return self._first_labels

    class Repeated(DavisBenchmark):
        propagator = Still

    still, moving = (kind(davis_root, limit_sequences=1).evaluate("raw_colour") for kind in (Repeated, DavisBenchmark))
    assert still.scores["J-Mean"] != moving.scores["J-Mean"]
