"""The content of a checkpoint of a module, its atomic writing, and the checks when a module takes it back."""

import pytest
import torch
from torch import nn

from lightning_modules import VFSSimSiam
from tests.helpers.refusal import refused
from vidcorr.backbones.checkpoints import written_completely
from vidcorr.backbones.checkpoints.weights import check_digest, check_fit, digest_of


def load_that_of(backbone):
    """Give a checkpoint of a network to a module around torchvision's ResNet-18."""
    own, other = (VFSSimSiam(spec, projector_dim=8, predictor_dim=4) for spec in ("torchvision:resnet18", backbone))
    checkpoint = {"state_dict": other.state_dict(), "hyper_parameters": dict(other.hparams)}
    other.on_save_checkpoint(checkpoint)
    own.on_load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_backbone_says_so():
    message = r"does not fit VFSSimSiam; .*; it is of torchvision:resnet34, this model of torchvision:resnet18"
    assert refused(ValueError, message, load_that_of, "torchvision:resnet34")


def test_weights_of_a_network_with_other_strides_fit_with_a_warning():
    """CRW's ResNet-18 has torchvision's parameters, but neither its strides nor its padding."""
    message = r"strides or padding may be others; it is of .*:crw_training_resnet18, this model of torchvision:resnet18"
    with pytest.warns(UserWarning, match=message):
        load_that_of("vidcorr.backbones:crw_training_resnet18")


def test_a_digest_sees_every_number_name_shape_and_type():
    state = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1), "c": torch.zeros(2, dtype=torch.bfloat16)}
    digest = digest_of(state)
    assert digest == digest_of(dict(reversed(state.items())))
    assert digest == digest_of(state | {"a": state["a"].t().contiguous().t()})  # the same numbers, otherwise in memory
    for change in (
        {"a": state["a"] + torch.eye(3)[:2] * 1e-6},
        {"a": state["a"].view(3, 2)},
        {"b": torch.tensor(1.0)},
        {"d": torch.zeros(0)},
    ):
        assert digest_of(state | change) != digest
    check_digest(state, digest, "x.ckpt")
    check_digest(state, None, "x.ckpt")
    for noted in ("0" * 64, 7, digest[:-1]):
        refused(ValueError, r"x\.ckpt: its weights are not those that were saved", check_digest, state, noted, "x.ckpt")


def test_weights_of_another_kind_do_not_fit():
    module = nn.BatchNorm1d(2)
    state = module.state_dict()
    check_fit(module, {name: value.half() if value.ndim else value for name, value in state.items()}, "x")
    for change in (torch.ones(2, dtype=torch.long), torch.ones(2, dtype=torch.complex64)):
        message = r"x: does not fit BatchNorm1d; of another type: weight torch\."
        refused(ValueError, message, check_fit, module, state | {"weight": change}, "x")


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    def write(text, error=None):
        with written_completely(path) as half:
            half.write_text(text)
            if error:
                raise error

    path = tmp_path / "new" / "a.ckpt"
    write("before")
    with pytest.raises(OSError, match="full"):
        write("ha", OSError("full"))
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
