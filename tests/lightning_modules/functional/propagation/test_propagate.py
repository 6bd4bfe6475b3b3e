import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.functional import (
    PropagationProtocol,
    decode_masks,
    encode_masks,
    propagate_labels,
)
from lightning_modules.functional.propagation.screened_search import SWITCH
from tests.helpers.memory import peak_of
from tests.helpers.plain_propagation import plain_propagation
from tests.helpers.propagation import one_hot, protocol, run, video

Golden = Callable[[str], dict[str, np.ndarray]]


def check_golden(case: dict[str, np.ndarray], prefix: str, of: PropagationProtocol) -> None:
    labels = run(torch.from_numpy(case[f"{prefix}_feats"]), torch.from_numpy(case[f"{prefix}_seg0"]), of)
    np.testing.assert_allclose(labels, case[f"{prefix}_out"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("number", range(9))
@pytest.mark.usefixtures("each_search")
def test_equals_vfs(golden: Golden, number: int) -> None:
    case = golden("propagation")
    context, topk, temperature, radius, masked = case[f"c{number}_params"].tolist()
    of = protocol(
        context=int(context),
        topk=int(topk) or None,
        temperature=temperature,
        radius=radius or None,
        first_frame_masked=bool(masked),
    )
    check_golden(case, f"c{number}", of)


@pytest.mark.usefixtures("each_search")
def test_equals_vfs_without_the_first_frame(golden: Golden) -> None:
    case = golden("propagation")
    context, topk, temperature, radius, _ = case["nf0_params"].tolist()
    of = protocol(references=range(-int(context), 0), topk=int(topk), temperature=temperature, radius=radius)
    check_golden(case, "nf0", of)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.usefixtures("each_search")
def test_equals_crw(golden: Golden, number: int) -> None:
    case = golden("propagation_crw")
    context, topk, temperature, radius, _ = case[f"c{number}_params"].tolist()
    crw = PropagationProtocol.named("crw")
    of = crw.with_changes(context=int(context), topk=int(topk), temperature=temperature, radius=radius)
    check_golden(case, f"c{number}", of)


@pytest.mark.parametrize("number", range(2))
@pytest.mark.usefixtures("each_search")
def test_equals_dino(golden: Golden, number: int) -> None:
    case = golden("propagation_dino")
    context, topk, temperature, radius, _ = case[f"c{number}_params"].tolist()
    dino = PropagationProtocol.named("dino")
    of = dino.with_changes(context=int(context), topk=int(topk), temperature=temperature, radius=radius)
    check_golden(case, f"c{number}", of)


@pytest.mark.usefixtures("each_search")
def test_equals_vfs_from_mask_to_masks(golden: Golden) -> None:
    case = golden("propagation")
    context, topk, temperature, radius, _ = case["hard0_params"].tolist()
    of = protocol(context=int(context), topk=int(topk), temperature=temperature, radius=radius)
    mask = case["hard0_ref"]
    features = torch.from_numpy(case["hard0_feats"])
    labels = run(features, encode_masks(mask, range(1, 4), features.shape[2:], of), of)
    np.testing.assert_allclose(labels[1:], case["hard0_soft"], atol=1e-5, rtol=0)
    for soft, hard in zip(labels[1:], case["hard0_pred"][1:], strict=True):
        np.testing.assert_array_equal(decode_masks(soft, range(1, 4), of, mask.shape), hard)


@pytest.mark.parametrize(("masked", "repeat_first"), [(True, "in_window"), (False, "padding"), (True, "never")])
@pytest.mark.parametrize(
    "fields",
    [
        {"radius": 2.5},
        {"radius": 0.5, "topk": 1},
        {"radius": 40, "topk": 500},
        {"radius": 2, "neighbourhood": "square"},
        {"radius": 0, "neighbourhood": "square", "topk": 2},
        {"radius": None, "topk": 7},
        {"context": 1, "topk": 3},
        {"context": 9, "temperature": 1.0, "feature_normalisation": "raw"},
    ],
)
def test_equals_the_dense_method(
    fields: dict[str, Any], masked: bool, repeat_first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = protocol(first_frame_masked=masked, repeat_first=repeat_first, **fields)
    features, labels = video(), one_hot(4)
    expected = plain_propagation(features, labels, of)
    for compiled in ("0", "1"):
        monkeypatch.setenv(SWITCH, compiled)
        torch.testing.assert_close(run(features, labels, of), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"radius": 2.5},
        {"radius": 3, "neighbourhood": "square", "repeat_first": "padding"},
        {"radius": 40},
        {"radius": None},
        {"references": (0, 2, -3, -1)},
    ],
)
def test_equals_the_dense_method_without_a_topk(fields: dict[str, Any]) -> None:
    of = protocol(topk=None, **fields)
    features, labels = video(), one_hot(4)
    torch.testing.assert_close(run(features, labels, of), plain_propagation(features, labels, of), atol=1e-5, rtol=0)


def test_float64_decides_where_float32_differs() -> None:
    of = protocol(context=4, topk=10, temperature=0.07, radius=5)
    features, labels = video(8, 32, 24, 40), one_hot(3, 24, 40)
    exact = plain_propagation(features, labels, of, torch.float64)
    off = (run(features, labels, of) - exact).abs().amax(1) > 1e-5
    assert off.float().mean() <= 1e-3
    double = run(features, labels, of.with_changes(precision="float64"))
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, exact, atol=1e-12, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["vfs", "crw", "dino", "liir", "liir-reference"])
def test_cuda_gives_the_same(name: str) -> None:
    of = PropagationProtocol.named(name)
    features, labels = video(8, 64, 40, 60) / 4, one_hot(3, 40, 60)
    difference = (run(features.cuda(), labels, of).cpu() - run(features, labels, of)).abs().amax(1)
    assert (difference <= 1e-5).float().mean() >= 0.999


def test_frames_are_read_one_at_a_time() -> None:
    taken: list[int] = []
    labels = propagate_labels((taken.append(t) or frame for t, frame in enumerate(video())), one_hot(2), protocol())  # type: ignore[func-returns-value]
    for number in range(3):
        next(labels)
        assert taken == list(range(number + 1))


def test_memory_does_not_grow_with_the_video() -> None:
    of, features = protocol(), video(6, 8, 10, 12)

    def propagate(frames: int) -> None:
        for _ in propagate_labels((features[i % 6] for i in range(frames)), one_hot(2, 10, 12), of):
            pass

    assert peak_of(lambda: propagate(60)) == peak_of(lambda: propagate(15))


def test_entering_objects_by_hand() -> None:
    # Frames that all look alike, each place unlike every other: labels stay where they are.
    features = torch.eye(12).reshape(12, 3, 4).expand(4, 12, 3, 4)
    first = torch.zeros(3, 3, 4)
    first[0], first[0, 0, 0], first[1, 0, 0] = 1, 0, 1
    new = torch.zeros(3, 3, 4)
    new[2, 0, 0], new[2, 1, 1] = 1, 0.25
    labels = run(features, first, protocol(topk=1, radius=2, references=(-1,)), entering={2: new})
    torch.testing.assert_close(labels[1], first)
    assert labels[1, 2].sum() == 0
    for frame in (2, 3):
        assert labels[frame, :, 0, 0].tolist() == [0, 0, 1]
        assert labels[frame, :, 1, 1].tolist() == [0.75, 0, 0.25]
        assert labels[frame, :, 2, 2].tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_any_float_type(dtype: torch.dtype) -> None:
    features, labels = video().to(dtype), one_hot(3)
    result = run(features, labels, protocol())
    assert result.dtype == torch.float32
    assert torch.equal(result, run(features.float(), labels, protocol()))


def test_the_training_around_it_does_not_move_it() -> None:
    features, labels = video(channels=64), one_hot(3)
    expected = run(features, labels, protocol())
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = run(features, labels, protocol())
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(result, expected)


NEW_API = """
import torch
from lightning_modules.functional import PropagationProtocol, propagate_labels
features, labels = torch.randn(3, 64, 5, 5), torch.rand(2, 5, 5)
protocol = PropagationProtocol("x", 2, 5, 0.07, 3)
expected = list(propagate_labels(features, labels, protocol))
torch.backends.fp32_precision = "tf32"
torch.backends.mkldnn.matmul.fp32_precision = "bf16"
found = list(propagate_labels(features, labels, protocol))
assert all(map(torch.equal, expected, found))
assert torch.backends.mkldnn.matmul.fp32_precision == "bf16", torch.backends.mkldnn.matmul.fp32_precision
"""


@pytest.mark.slow
def test_a_precision_set_by_the_newer_api_does_not_move_it() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_API], capture_output=True, text=True)  # torch cannot unset it
    assert done.returncode == 0, done.stderr


def test_255_labels() -> None:
    features, labels = video(3), one_hot(255)
    torch.testing.assert_close(run(features, labels, protocol()), plain_propagation(features, labels, protocol()))
    with pytest.raises(ValueError, match="255"):
        propagate_labels(features, torch.rand(256, 9, 13), protocol())


def test_bad_input() -> None:
    features, labels = video(), one_hot(2)
    with pytest.raises(ValueError, match=r"\(T, C, h, w\)"):
        propagate_labels(features[0], labels, protocol())
    with pytest.raises(ValueError, match=r"first_labels must be \(L, h, w\) float"):
        propagate_labels(features, labels.long(), protocol())
    with pytest.raises(ValueError, match=r"features of frame 0 must be \(C, 8, 13\)"):
        run(features, labels[:, 1:], protocol())
    with pytest.raises(ValueError, match="features of frame 1 must have 8 channels"):
        list(propagate_labels([features[0], features[1, :4]], labels, protocol()))
    with pytest.raises(ValueError, match="must be float"):
        list(propagate_labels([features[0].long()], labels, protocol()))
    with pytest.raises(ValueError, match="entering names frame 9, but the video has frames 0 to 5"):
        propagate_labels(features, labels, protocol(), entering={9: labels})
    with pytest.raises(ValueError, match="entering names frame 9"):
        list(propagate_labels(iter(features), labels, protocol(), entering={9: labels}))
    with pytest.raises(ValueError, match="entering labels of frame 2"):
        run(features, labels, protocol(), entering={2: labels[:1]})
    features[3, 2, 4, 5] = torch.nan
    with pytest.raises(ValueError, match="labels of frame 3 are not finite"):
        run(features, labels, protocol())
