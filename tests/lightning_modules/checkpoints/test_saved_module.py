"""The side of a module that checkpoints see: its metadata, and what it takes back."""

import warnings

import pytest

from lightning_modules import VFSSimSiam
from lightning_modules.checkpoints.metadata import FORMAT, metadata_of
from lightning_modules.checkpoints.weights import digest_of


def saved(module):
    state = {name: value.clone() for name, value in module.state_dict().items()}
    checkpoint = {"state_dict": state, "hyper_parameters": dict(module.hparams)}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def test_a_note_holds_class_format_and_digest():
    module = VFSSimSiam(projector_dim=8, predictor_dim=4)
    metadata = saved(module)["vidcorr"]
    assert metadata == metadata_of(module, module.state_dict())
    assert metadata["class_path"] == "lightning_modules.vfs_simsiam.VFSSimSiam"
    assert (metadata["format"], metadata["digest"]) == (FORMAT, digest_of(module.state_dict()))


def test_changed_weights_are_not_taken_back():
    module = VFSSimSiam(projector_dim=8, predictor_dim=4)
    checkpoint = saved(module)
    module.on_load_checkpoint(checkpoint)
    checkpoint["state_dict"]["projector.0.weight"][0, 0] += 1e-3
    with pytest.raises(ValueError, match="not those that were saved"):
        module.on_load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_backbone_says_so():
    checkpoint = saved(VFSSimSiam("torchvision:resnet34", projector_dim=8, predictor_dim=4))
    message = r"does not fit VFSSimSiam; .*; it is of torchvision:resnet34, this model of torchvision:resnet18"
    with pytest.raises(ValueError, match=message):
        VFSSimSiam(projector_dim=8, predictor_dim=4).on_load_checkpoint(checkpoint)


def test_weights_of_a_network_with_other_strides_fit_with_a_warning():
    """CRW's ResNet-18 has torchvision's parameters, but neither its strides nor its padding."""
    checkpoint = saved(
        VFSSimSiam("lightning_modules.backbones:crw_training_resnet18", projector_dim=8, predictor_dim=4)
    )
    message = r"strides or padding may be others; it is of .*:crw_training_resnet18, this model of torchvision:resnet18"
    with pytest.warns(UserWarning, match=message):
        VFSSimSiam(projector_dim=8, predictor_dim=4).on_load_checkpoint(checkpoint)


def test_a_path_of_a_checkpoint_is_no_name_of_a_network(tmp_path):
    module = VFSSimSiam(projector_dim=8, predictor_dim=4)
    checkpoint = saved(module)
    checkpoint["hyper_parameters"]["backbone"] = str(tmp_path / "moved.ckpt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.on_load_checkpoint(checkpoint)
