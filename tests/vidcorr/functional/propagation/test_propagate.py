"""Label propagation against the original codes, a dense twin, windows and devices; its references and memory.

Also tests `propagation/attention.py`, `propagation/comparison.py`, `functional/window_tiles.py`.
"""

import json
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.memory import peak_of
from tests.helpers.plain_propagation import plain_propagation
from tests.helpers.propagation import one_hot, protocol, run, video
from tests.helpers.refusal import refused
from vidcorr.functional import decode_masks, device, encode_masks, propagate_labels
from vidcorr.functional.native import SWITCH
from vidcorr.protocols import PropagationProtocol

CASES = {"propagation": [*range(9), "nf0"], "propagation_crw": range(3), "propagation_dino": range(2)}


@pytest.mark.parametrize(("file", "case"), [(file, case) for file in CASES for case in CASES[file]])
@pytest.mark.usefixtures("each_search")
def test_equals_the_original_code(golden, file, case):
    arrays, name = golden(file), file.partition("_")[2] or "vfs"
    case = f"c{case}" if case != "nf0" else case
    context, topk, temperature, radius, masked = arrays[f"{case}_params"].tolist()
    numbers = {"context": int(context), "topk": int(topk) or None, "temperature": temperature, "radius": radius or None}
    if name == "vfs":
        numbers["first_frame_masked"] = bool(masked)
    if case == "nf0":  # without the first frame
        numbers |= {"references": range(-int(context), 0), "first_frame_masked": True}
    of = PropagationProtocol.named(name).with_changes(**numbers)
    labels = run(torch.from_numpy(arrays[f"{case}_feats"]), torch.from_numpy(arrays[f"{case}_seg0"]), of)
    np.testing.assert_allclose(labels, arrays[f"{case}_out"], atol=1e-5, rtol=0)


@pytest.mark.usefixtures("each_search")
def test_equals_vfs_from_mask_to_masks(golden):
    case = golden("propagation")
    context, topk, temperature, radius, _ = case["hard0_params"].tolist()
    of = protocol(context=int(context), topk=int(topk), temperature=temperature, radius=radius)
    mask = case["hard0_ref"]
    features = torch.from_numpy(case["hard0_feats"])
    labels = run(features, encode_masks(mask, range(1, 4), features.shape[2:], of), of)
    np.testing.assert_allclose(labels[1:], case["hard0_soft"], atol=1e-5, rtol=0)
    for soft, hard in zip(labels[1:], case["hard0_pred"][1:], strict=True):
        np.testing.assert_array_equal(decode_masks(soft, range(1, 4), of, mask.shape), hard)


@pytest.mark.parametrize("fields", json.loads(Path(__file__).with_name("dense.json").read_text()), ids=str)
@pytest.mark.sampled(2)
def test_equals_the_dense_method(fields, monkeypatch):
    """Of numpy arrays, and objects that enter in frames 2 and 4."""
    masked = fields.get("topk", 4) is None  # only the best matches can be found in an unmasked frame
    of = protocol(**{"first_frame_masked": masked, "repeat_first": "padding"} | fields)
    features, labels = video(7, 8, 7, 11).double(), torch.zeros(4, 7, 11)
    labels[:2] = one_hot(2, 7, 11)
    entering = {frame: torch.zeros(4, 7, 11) for frame in (2, 4)}
    entering[2][2, 1:3, 4:7] = entering[4][3, 5:, 8:] = 1
    expected = plain_propagation(features, labels, of, getattr(torch, of.precision), entering)
    entering = {frame: new.numpy() for frame, new in entering.items()}
    # strips in several groups, and as narrow as a column
    for compiled, workspace in (("1", device.WORKSPACE), ("0", 50_000), ("0", 2_000)):
        monkeypatch.setenv(SWITCH, compiled)
        monkeypatch.setattr(device, "WORKSPACE", workspace)
        found = run(features.numpy(), labels.numpy(), of, entering=entering)
        torch.testing.assert_close(found, expected, atol=1e-12 if of.precision == "float64" else 1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["own-context", "overwrite"])
def test_objects_that_enter_at_the_first_frame_leave_the_others_of_that_frame_in_place(kind):
    features, labels = video(4, 8, 5, 6), one_hot(3, 5, 6)
    entering = torch.zeros(3, 5, 6)
    entering[2] = labels[2]
    before = labels.clone()
    before[2] = 0
    of = protocol(entering=kind, repeat_first="padding", first_frame_masked=False, topk=4)
    torch.testing.assert_close(run(features, before, of, entering={0: entering}), run(features, labels, of))


def test_all_matches_that_equal_the_last_of_the_best_count_where_ties_are_kept():
    features, labels = torch.ones(4, 3, 5, 6), torch.rand(2, 5, 6)
    ties = run(features, labels, protocol(topk=2, topk_ties="kept", first_frame_masked=True))
    torch.testing.assert_close(ties, run(features, labels, protocol(topk=None, first_frame_masked=True)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["vfs", "crw", "dino", "liir", "liir-reference", "vidcorr"])
def test_cuda_gives_the_same(name):
    of = PropagationProtocol.named(name)
    features, labels = video(8, 64, 40, 60) / 4, one_hot(3, 40, 60)
    difference = (run(features.cuda(), labels, of).cpu() - run(features, labels, of)).abs().amax(1)
    # under liir-reference, float32 rounding of the features (6e-8) alone moves labels by up to 7e-5
    most = 5e-5 if name == "liir-reference" else 1e-5
    assert (difference <= most).float().mean() >= 0.999


def test_memory_does_not_grow_with_the_video():
    of, features = protocol(), video(6, 8, 5, 6)

    def propagate(frames):
        deque(propagate_labels((features[i % 6] for i in range(frames)), one_hot(2, 5, 6), of), maxlen=0)

    assert peak_of(lambda: propagate(30)) == peak_of(lambda: propagate(10))


WHITENED = {"feature_normalisation": "whitened"}


def test_whitening_by_few_cells_does_not_depend_on_directions_without_variance():
    features, labels = video(4, 60, 5, 7), one_hot(2, 5, 7)
    by_another_order = run(features[:, torch.randperm(60)], labels, protocol(**WHITENED))
    torch.testing.assert_close(by_another_order, run(features, labels, protocol(**WHITENED)), atol=1e-4, rtol=0)


def test_labels_and_features_that_do_not_fit_are_refused():
    features, labels = video(), one_hot(2)
    spoiled = features.clone()
    spoiled[3, 2, 4, 5] = torch.nan
    spoiled_first = features.clone()
    spoiled_first[0, 2, 4, 5] = torch.nan
    of = protocol()
    mistakes = {
        "a channel or more": lambda: propagate_labels(features, torch.rand(0, 8, 13), of),
        r"features of frame 0 must be \(C, 8, 13\)": lambda: run(features, labels[:, 1:], of),
        "entering names frame 6, but": lambda: propagate_labels(features, labels, of, entering={6: labels}),
        "entering names frame 9": lambda: run(iter(features), labels, of, entering={9: labels}),
        "entering labels of frame 2": lambda: run(features, labels, of, entering={2: labels[:1]}),
        "labels of frame 3 are not finite": lambda: run(spoiled, labels, of),
        "labels of frame 1 are not finite": lambda: run(spoiled_first, labels, protocol(**WHITENED)),
    }
    for words, call in mistakes.items():
        assert refused(ValueError, words, call)


def test_liirs_references_are_those_of_the_public_code(golden):
    rule = golden("liir_mast")["ref_index_rule0"]
    liir = PropagationProtocol.named("liir")
    for number, row in enumerate(rule):
        assert liir.reference_frames(number + 1) == [frame for frame in row.tolist() if frame >= 0]
