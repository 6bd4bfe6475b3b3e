"""A training step beside the same step of the authors' own code, in float64: loss, gradients, running statistics."""

import numpy as np
import pytest
import torch

from tests.helpers.drawn_weights import drawn, neutral, with_drawn_weights
from vidcorr.functional.compactness import CompactnessPrior
from vidcorr.lightning_modules import Liir, VFSSimSiam

CASES = ("c0", "c1", "c2")
LEVELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def clips_of(numbers, case):
    """The frames of a case as float64 RGB in [0, 1], `(B, n, 3, H, W)`."""
    return torch.from_numpy(numbers[f"{case}_frames"]).double().div(255).movedim(-1, 2)


def expect_gradients(method, numbers, case, variant=""):
    """Norm, product with a drawn direction and first entries of each gradient, within 1e-8 of the largest."""
    named = {neutral(name): parameter for name, parameter in method.named_parameters()}
    seed = int(numbers[f"{case}_seed"])
    gradients = [named[str(name)].grad.numpy() for name in numbers["names"]]
    directions = [
        drawn(f"dot.{name}", grad.shape, seed) for name, grad in zip(numbers["names"], gradients, strict=True)
    ]
    found = {
        "norm": [np.linalg.norm(grad) for grad in gradients],
        "dot": [(grad * direction).sum() for grad, direction in zip(gradients, directions, strict=True)],
        "first": [grad.ravel()[:4] for grad in gradients],
    }
    for kind, values in found.items():
        wanted = numbers[f"{case}_{variant}grad_{kind}"]
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-8 * np.abs(wanted).max(), err_msg=kind)


def expect_statistics(method, numbers, case):
    """Running mean and variance of every BatchNorm after the step, and the number of its updates."""
    norms = {neutral(name): part for name, part in method.named_modules() if hasattr(part, "running_mean")}
    kept = [norms[str(name)] for name in numbers["norms"]]
    found = [[norm.running_mean.norm(), norm.running_var.norm()] for norm in kept]
    np.testing.assert_allclose(np.array(found), numbers[f"{case}_running_norm"], rtol=0, atol=1e-9)
    assert [norm.num_batches_tracked.item() for norm in kept] == numbers[f"{case}_batches_tracked"].tolist()
    for kind in ("running_mean", "running_var"):
        stored = [name for name in norms if f"{case}_{name}.{kind}" in numbers]
        assert stored
        for name in stored:
            wanted = numbers[f"{case}_{name}.{kind}"]
            np.testing.assert_allclose(getattr(norms[name], kind), wanted, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(3)
def test_a_step_of_vfs_is_the_authors(case, golden):
    numbers = golden("steps/simsiam")
    method = with_drawn_weights(VFSSimSiam().double(), int(numbers[f"{case}_seed"]))
    # the library's constants are float32, the authors' were float64 here
    for constant, levels in zip((method.normalise.mean, method.normalise.std), LEVELS, strict=True):
        constant.data.copy_(torch.tensor(levels, dtype=torch.float64).view(3, 1, 1) / 255)
    loss = method.step({"clip": clips_of(numbers, case)})["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(numbers[f"{case}_loss"].item(), abs=1e-9)
    expect_gradients(method, numbers, case)
    expect_statistics(method, numbers, case)


@pytest.mark.parametrize("variant", ["plain", "compact"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(4)
def test_a_step_of_liir_is_that_of_the_public_code(case, variant, golden):
    """The first phase's network without a bank, without and with the prior."""
    numbers = golden("steps/liir")
    prior = CompactnessPrior() if variant == "compact" else None
    method = Liir(bank={"frames": 0}, border="zero", schedule={"warmup_epochs": 0}, prior=prior)
    gain = float(numbers[f"{case}_gain_shift"][0])
    method = with_drawn_weights(method.double(), int(numbers[f"{case}_seed"]), gain)
    batch = {"clip": clips_of(numbers, case), "video_index": torch.arange(1)}
    loss = method.objective(batch, int(numbers[f"{case}_channel"]))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(numbers[f"{case}_{variant}_loss"].item(), abs=1e-9)
    expect_gradients(method, numbers, case, f"{variant}_")
    expect_statistics(method, numbers, case)
