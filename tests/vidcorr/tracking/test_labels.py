"""The engine of label propagation: the view of the extractor, padding that is cut, encoders of video."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers.encoders import clip_network, recurrent, recurrent_step
from tests.helpers.masks import read_masks
from tests.helpers.refusal import refused
from tests.helpers.still_videos import write_still_davis
from vidcorr import DavisBenchmark
from vidcorr.backbones import Clips, Recurrent, build_feature_extractor
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


def test_a_map_without_places_is_refused():
    encoder = FrameEncoder(build_feature_extractor("raw_colour", stride=8), PropagationProtocol.named("vfs"))
    frames = [(torch.zeros(3, 16, 16, dtype=torch.uint8), halves(16, 16))]
    tracked = follow_labels(frames, MaskCoding(encoder, (16, 16), (16, 16), {1: 0}))
    refused(ValueError, "colour: 2 x 2 cells, too few", list, tracked)


def test_a_users_propagation_is_named_by_the_benchmark(davis_root):
    class Still(LabelPropagator):
        def step(self, features, entering=None):
            return self._first_labels

    class Repeated(DavisBenchmark):
        propagator = Still

    still, moving = (kind(davis_root, limit_sequences=1).evaluate("raw_colour") for kind in (Repeated, DavisBenchmark))
    assert still.scores["J-Mean"] != moving.scores["J-Mean"]


CHANGES = {"feature_stride": 8, "input_size": None}


@pytest.fixture(params=["clip_trilinear", "clip_cubic", "recurrent"])
def case(request, golden):
    kind = "recurrent" if request.param == "recurrent" else "clip"
    numbers = {name: torch.from_numpy(value) for name, value in golden(f"video_encoders/{kind}").items()}
    if kind == "recurrent":
        return request.param, Recurrent(recurrent_step(numbers))
    cubic = {"upsampling": "cubic", "mean": None} if "cubic" in request.param else {}
    return request.param, Clips(clip_network(numbers), **cubic)


@pytest.mark.slow
def test_labels_and_masks_equal_the_notebooks(case, golden):
    """Cell 23 as a whole; a few cells are decided by rounding, see the golden file's README, section 7."""
    name, encoder = case
    numbers = golden("video_encoders/end_to_end")
    frames, truth = torch.from_numpy(numbers["frames"]), numbers["truth"]
    rules = PropagationProtocol.named("rvm", "davis").with_changes(**CHANGES)
    coding = MaskCoding(FrameEncoder(encoder, rules), (96, 160), (96, 160), {1: 0, 2: 0})
    given = [(frame, torch.from_numpy(truth[0]) if t == 0 else None) for t, frame in enumerate(frames)]
    tracked = list(follow_labels(given, coding))
    labels = torch.stack([frame.labels for frame in tracked]).numpy()
    off = np.abs(labels - numbers[f"{name}_soft"]).max(axis=1)
    assert (off < 2e-5).mean() > 0.98
    assert off.max() < 0.1
    masks = np.stack([frame.decoded.numpy() for frame in tracked])
    assert (masks[1:] != numbers[f"{name}_masks"][1:]).mean() < 1e-4


@pytest.mark.parametrize("make", [recurrent, lambda: Clips(torch.nn.Conv3d(3, 4, (2, 8, 8), (2, 8, 8)))])
def test_the_stride_is_measured_as_that_of_a_network_of_images(make):
    protocol = FrameEncoder(make(), PropagationProtocol.named("vidcorr", "davis")).protocol  # its cells have 4 px
    assert (protocol.feature_stride, protocol.name) == (8, "vidcorr+feature_stride=8")
    other = PropagationProtocol.named("vidcorr+feature_stride=16", "davis")
    refused(ValueError, "the features have feature_stride 8", FrameEncoder, make(), other)


@pytest.mark.parametrize("cells", [8, 14])
def test_a_stride_that_no_blank_frame_shows_is_that_of_the_video(cells):
    """A network takes frames of 64 px alone, or makes 14 × 14 cells of any: a wrong stride is not believed."""

    def step(frame, state):
        small = frame.view(3, 64, 64)[:, ::8, ::8] if cells == 8 else F.adaptive_avg_pool2d(frame, cells)
        return small, state

    encoder = FrameEncoder(Recurrent(step), PropagationProtocol.named("rvm+input_size=none", "davis"))
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[20:40, 20:40] = 1
    frames = [(torch.zeros(3, 64, 64, dtype=torch.uint8), mask if t == 0 else None) for t in range(3)]
    found = round(64 / cells)
    with pytest.raises(ValueError, match=rf"{found} px per cell.*feature_stride: {found}"):
        list(follow_labels(frames, MaskCoding(encoder, (64, 64), (64, 64), {1: 0})))


def test_a_list_of_maps_is_refused():
    class Several(torch.nn.Module):
        stride = 8

        def encode(self, frames):
            yield from ([frame[:, ::8, ::8]] * 2 for frame in frames)

    encoder = FrameEncoder(Several(), PropagationProtocol.named("vfs", "davis"))
    assert encoder.extractor.stride == 8  # as stated: no frame is encoded to measure it
    refused(ValueError, r"Several: expected a map .* got list", next, encoder.maps(torch.zeros(1, 3, 64, 64).byte()))
