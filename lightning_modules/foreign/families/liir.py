"""Checkpoints of Liir's public reproduction and of MAST, whose encoders have one form."""

from ..foreign_file import State
from ..mapping import DAVIS, Converted, Family, rename

CLASS = "lightning_modules.liir.Liir"
ENCODER = {
    r"feature_extraction\.pos_embed1": "backbone.position.places",
    r"feature_extraction\.((?:conv1|bn1|layer\d\.\d+\.\w+|layer\d\.\d+\.downsample\.\d)\.\w+)": r"backbone.\1",
    r"post_convolution\.(\w+)": r"backbone.affinity.\1",
}
MAST_BLOCKS = {
    r"feature_extraction\.conv1\.0\.(\w+)": r"backbone.conv1.\1",
    r"feature_extraction\.conv1\.1\.(\w+)": r"backbone.bn1.\1",
    r"feature_extraction\.(layer\d\.\d)\.left\.0\.(\w+)": r"backbone.\1.conv1.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.1\.(\w+)": r"backbone.\1.bn1.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.3\.(\w+)": r"backbone.\1.conv2.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.4\.(\w+)": r"backbone.\1.bn2.\2",
    r"feature_extraction\.(layer\d\.\d)\.shortcut\.(\d)\.(\w+)": r"backbone.\1.downsample.\2.\3",
}
"""The names of MAST's own code."""
LEFT = {
    r"conv_semantic\..+": "branch at 1/8 resolution, which the paper does not have",
    r"conv_semantic_k\..+": "moving average of that branch",
    r"colorizer\..+": "bank of that branch",
}
MEASURED_BY = f"{DAVIS} --trainer.callbacks.protocol liir-reference --trainer.callbacks.stage affinity"
MAST_CHANGES = "'{radius: 12, mixture_components: null, foreground_gain: 1.0}'"


def _liir(state: State, architecture: str | None) -> Converted:
    renamed, unused = rename(state, ENCODER, LEFT)
    places = renamed["backbone.position.places"][0]
    arguments = {"position": "1dape", "position_size": places.shape[-1], "bank_frames": 0, "border": "zero"}
    return Converted(CLASS, arguments, renamed | {"backbone.position.places": places}, unused, measured_by=MEASURED_BY)


def _mast(state: State, architecture: str | None) -> Converted:
    left = {r"feature_extraction\.fc\..+": "classifier"}
    last = state.get("feature_extraction.layer4.0.conv1.weight")
    stages = 4 if last is None or len(last) == 256 else 3
    if stages == 3:
        left[r"feature_extraction\.layer4\..+"] = "not on the way to post_convolution, which takes 256 channels"
    renamed, unused = rename(state, MAST_BLOCKS | ENCODER, left)
    arguments = {"position": "none", "stages": stages, "bank_frames": 0, "mixture_components": None, "border": "zero"}
    note = "MAST's coarse search in distant reference frames is not part of any protocol"
    measured_by = f"{MEASURED_BY} --trainer.callbacks.changes {MAST_CHANGES}"
    return Converted(CLASS, arguments, renamed, unused, note, measured_by)


LIIR = Family("liir", lambda state: "feature_extraction.pos_embed1" in state, _liir)
MAST = Family("mast", lambda state: "post_convolution.weight" in state and not LIIR.recognises(state), _mast)
